import { PageHeader } from "@/components/ui.tsx";

export function Audit() {
  return <PageHeader title="Audit" />;
}
