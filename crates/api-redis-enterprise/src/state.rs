//! Lifecycle words of databases.
