//! A server that decodes a request with prost, drops it and says that all is well: the
//! least that a server can do that looks at what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::client::Result;

const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";

pub fn serve(endpoint: &str) -> Result<()> {
    for stream in TcpListener::bind(endpoint)?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

fn answer(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut out, mut stream, mut body) = (stream.try_clone()?, BufReader::new(stream), Vec::new());
    loop {
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        if stream.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
        match first.split(' ').nth(1) {
            Some("/v1/traces") => drop(ExportTraceServiceRequest::decode(&body[..])?),
            Some("/v1/logs") => drop(ExportLogsServiceRequest::decode(&body[..])?),
            Some("/v1/metrics") => drop(ExportMetricsServiceRequest::decode(&body[..])?),
            _ => return Err(format!("{} is not asked for here", first.trim_end()).into()),
        }
        out.write_all(TAKEN)?;
    }
}
