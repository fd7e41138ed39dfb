"""Mail: messages, a spool that outlives processes, and the thread that delivers it by SMTP."""
