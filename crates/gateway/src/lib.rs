//! HTTP in: one file per route, one itinerary of the middleware.
