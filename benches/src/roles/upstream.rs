//! What all proxies stand before: answers an item at once, and a document so that the gateway takes it as a provider.

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::ITEM;

/// Serves; the document offers `operations` operations.
pub(super) async fn serve(operations: usize) -> Result<()> {
    let document = Bytes::from(document(operations).to_string());
    super::serve(move |request: Request<Incoming>| {
        let document = document.clone();
        async move {
            let (status, body) = match request.uri().path() {
                "/openapi.json" => (StatusCode::OK, document),
                // What nginx asks for every request: yes, always.
                "/auth" => (StatusCode::NO_CONTENT, Bytes::new()),
                path if path.starts_with("/items/") => (StatusCode::OK, Bytes::from_static(ITEM.as_bytes())),
                _ => (StatusCode::NOT_FOUND, Bytes::new()),
            };
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            response
        }
    })
    .await
}

/// `read-item`, then others in services of eight operations each: two words of command after the provider's.
fn document(operations: usize) -> Value {
    let item = operation("read-item", "items read", "Read an item");
    let mut paths = Map::from_iter([("/items/{id}".to_owned(), item)]);
    for number in 1..operations {
        let (service, of_service) = (number / 8, number % 8);
        let command = if number < 8 {
            format!("items do-{of_service}")
        } else {
            format!("service-{service} do-{of_service}")
        };
        let id = format!("do-{number}");
        paths.insert(
            format!("/others/{number}/{{id}}"),
            operation(&id, &command, "Do one of many things to an item"),
        );
    }
    json!({"openapi": "3.1.0", "info": {"title": "Items", "version": "1"}, "paths": paths})
}

fn operation(id: &str, command: &str, title: &str) -> Value {
    json!({"get": {
        "operationId": id,
        "summary": title,
        "description": "Answers the same item whoever asks for which.",
        "x-guichet": {"command": format!("rds {command}")},
        "parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}, "description": "Which item"},
            {"name": "fields", "in": "query", "schema": {"type": "string", "enum": ["all", "some"]}, "description": "How much of it"}
        ],
        "responses": {"200": {"description": "The item", "content": {"application/json": {"schema": {"type": "object"}}}}}
    }})
}
