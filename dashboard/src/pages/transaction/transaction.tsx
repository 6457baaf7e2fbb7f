import { PageHeader } from "@/components/ui.tsx";

export function Transaction() {
  return <PageHeader title="Transaction" />;
}
