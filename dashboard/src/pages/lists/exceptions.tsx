import { PageHeader } from "@/components/ui.tsx";

export function Exceptions() {
  return <PageHeader title="Exceptions" />;
}
