"""The web pages of `schemahub ui`: read-only views of the tables, by NiceGUI, without a JVM."""
