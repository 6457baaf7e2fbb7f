import { PageHeader } from "@/components/ui.tsx";

export function DeadLetters() {
  return <PageHeader title="DeadLetters" />;
}
