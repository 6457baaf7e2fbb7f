import { PageHeader } from "@/components/ui.tsx";

export function System() {
  return <PageHeader title="System" />;
}
