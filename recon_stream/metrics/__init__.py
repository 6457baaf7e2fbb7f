"""What every process tells Prometheus."""
