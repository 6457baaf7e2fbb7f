"""Looking at the running system: proofs, live views and checks of its dependencies."""
