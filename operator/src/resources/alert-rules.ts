// Rules of Prometheus as the chart writes them; alerts.gen.ts has those that are about one cluster. Types only.

export interface AlertGroup {
  readonly name: string
  readonly rules: readonly AlertRule[]
}

export interface AlertRule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}
