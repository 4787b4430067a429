//! Tests that guard the dependency table, cited paths and banned names.
