import { PageHeader } from "@/components/ui.tsx";

export function Live() {
  return <PageHeader title="Live" />;
}
