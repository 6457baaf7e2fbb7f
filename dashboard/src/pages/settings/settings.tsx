import { PageHeader } from "@/components/ui.tsx";

export function Settings() {
  return <PageHeader title="Settings" />;
}
