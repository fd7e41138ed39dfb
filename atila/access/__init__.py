"""Who may do what: authentication, permissions, pages of other sites."""
