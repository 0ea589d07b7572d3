//! An HTTP server that answers what a test tells it to and remembers what it
//! was asked: the store's client as it really is, against answers that no real
//! server gives on demand.

use std::sync::Arc;

use parking_lot::Mutex;
use storage::store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a request gets.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, further header lines, body.
    Reply(u16, &'static str, &'static str),
    /// Nothing, ever.
    Silence,
    /// The connection ends before an answer.
    Reset,
}

/// A request, and how many came before it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Header lines, in lower case.
    pub headers: String,
    pub nth: usize,
}

type Rule = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// Ends when dropped.
pub struct Scripted {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _connections: JoinSet<()>,
}

impl Scripted {
    pub async fn start(rule: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (rule, heard): (Rule, _) = (Arc::new(rule), asked.clone());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, rule.clone(), heard.clone()));
            }
        });
        Scripted { address, asked, _connections: accepting }
    }

    /// An S3 client of it that gives up on a silent server after a moment.
    pub fn store(&self) -> Store {
        self.store_within("300ms")
    }

    pub fn store_within(&self, timeout: &str) -> Store {
        self.store_by(&[
            ("aws_access_key_id", "id"),
            ("aws_secret_access_key", "hunter2"),
            ("timeout", timeout),
        ])
    }

    /// A client with these options besides the address.
    pub fn store_by(&self, options: &[(&str, &str)]) -> Store {
        let address = [("aws_endpoint", self.address.as_str()), ("aws_allow_http", "true")];
        let options = address.iter().chain(options);
        let options = options.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Store::open("s3://bucket/prefix", &options.collect()).unwrap()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// How often a method was asked for.
    pub fn count(&self, method: &str) -> usize {
        self.asked.lock().iter().filter(|asked| asked.method == method).count()
    }
}

async fn serve(mut connection: TcpStream, rule: Rule, heard: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = head + length.map_or(0, |length| length.trim().parse().unwrap());
        while bytes.len() < whole {
            if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let line = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let mut words = line.split_whitespace().map(str::to_owned);
        let asked = {
            let mut heard = heard.lock();
            let method = words.next().unwrap();
            let target = words.next().unwrap();
            let asked = Asked { method, target, headers: text, nth: heard.len() };
            heard.push(asked.clone());
            asked
        };
        bytes.drain(..whole);
        match rule(&asked) {
            Answer::Silence => std::future::pending().await,
            Answer::Reset => return,
            Answer::Reply(status, headers, body) => {
                // A HEAD says the length of what it does not send.
                let length = match asked.method.as_str() {
                    "HEAD" => String::new(),
                    _ => format!("content-length: {}\r\n", body.len()),
                };
                let answer = format!("HTTP/1.1 {status} So\r\n{headers}{length}\r\n{body}");
                if connection.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}
