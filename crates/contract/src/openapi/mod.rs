//! How an OpenAPI 3.1 document becomes actions.
