"""SchemaHub: trades of crypto exchanges in Apache Iceberg tables, unified exactly once."""

__version__ = "0.1.0"
