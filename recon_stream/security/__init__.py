"""Who asks and what they may: roles and permissions, access tokens, the audit trail, what browsers are told."""
