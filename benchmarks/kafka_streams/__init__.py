"""The same job in Kafka Streams, compiled without a JDK."""
