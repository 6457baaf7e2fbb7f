"""Who asks, and what they may: roles and permissions, access tokens, the issuer's keys."""
