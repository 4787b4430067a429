//! A provider that misbehaves on the wire: answers rubbish, too much, half, late or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Duration, sleep},
};

/// A rude provider; it stops when it is dropped.
pub struct Rude {
    /// Where it listens.
    pub url: String,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it can be asked for, each as a read (`read-…`) and as a change (`change-…`).
const MANNERS: [&str; 5] = ["rubbish", "huge", "half", "late", "hangup"];

impl Rude {
    /// Starts it.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&counted)));
            }
        });
        Ok(Self { url, calls, task })
    }

    /// How many operations were called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn document() -> Value {
    let mut paths = json!({});
    for manner in MANNERS {
        for (method, effect) in [("get", "read"), ("post", "change")] {
            paths[format!("/{effect}/{manner}")] = json!({method: {
                "operationId": format!("{effect}-{manner}"),
                "x-guichet": {"command": format!("rude {effect} {manner}"), "timeout": "2s"},
                "responses": {"200": {"description": "never what it should be"}},
            }});
        }
    }
    json!({"openapi": "3.1.0", "info": {"title": "Rude", "version": "1"}, "paths": paths})
}

async fn answer(mut stream: TcpStream, calls: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    let mut byte = [0_u8; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&byte[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path == "/openapi.json" {
        let text = document().to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        let _gone = stream.write_all(answer.as_bytes()).await;
        return;
    }
    calls.fetch_add(1, Ordering::SeqCst);
    let json_head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let _gone = match path.rsplit('/').next().unwrap_or_default() {
        "rubbish" => stream.write_all(format!("{json_head}content-length: 5\r\n\r\n<hi/>").as_bytes()).await,
        "huge" => {
            let mut written =
                stream.write_all(format!("{json_head}content-length: 50000000\r\n\r\n\"").as_bytes()).await;
            let block = vec![b'a'; 1 << 20];
            for _ in 0..47 {
                if written.is_err() {
                    break;
                }
                written = stream.write_all(&block).await;
            }
            written
        }
        "half" => {
            stream.write_all(format!("{json_head}content-length: 500\r\n\r\n{{\"half\":").as_bytes()).await
        }
        "late" => {
            sleep(Duration::from_secs(20)).await;
            Ok(())
        }
        _ => Ok(()),
    };
}
