"""Background tasks, cron jobs and jobs at intervals, once per service, beside its workers."""
