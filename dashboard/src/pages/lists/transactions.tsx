import { PageHeader } from "@/components/ui.tsx";

export function Transactions() {
  return <PageHeader title="Transactions" />;
}
