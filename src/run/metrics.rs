//! The address where metrics are fetched: the least of HTTP/1.1 that a scraper needs, and nothing
//! that a stranger can wear out.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::report::metrics::{self, CONTENT_TYPE, Scrape};

/// An address that listens, though nobody answers yet. Made while the program may still bind.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    /// The address, with the port that it got.
    pub address: SocketAddr,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let fails = |error: io::Error| {
            let help = match error.kind() {
                io::ErrorKind::AddrInUse => "; choose another port, or 0 for any that is free",
                io::ErrorKind::AddrNotAvailable => "; choose an address of this host, or 0.0.0.0",
                io::ErrorKind::PermissionDenied => "; choose a port from 1024 on",
                _ => "",
            };
            Error::Listen { address, what: format!("{error}{help}") }
        };
        let listener = TcpListener::bind(address).map_err(fails)?;
        listener.set_nonblocking(true).map_err(fails)?;
        let address = listener.local_addr().map_err(fails)?;
        Ok(Self { listener, address })
    }

    /// A filter of libpcap's that keeps what is fetched here out of a capture.
    pub fn left_out(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        match ip.is_unspecified() {
            true => format!("not (tcp port {port})"),
            false => format!("not (tcp and host {ip} and port {port})"),
        }
    }

    /// Answers from now on, with what `told` has.
    pub(super) fn serve(self, told: Arc<Mutex<Option<Scrape>>>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // No descriptors, mostly: they come back.
                    sleep(BREATH).await;
                    continue;
                };
                // Whoever finds no place is told nothing, which costs nothing.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &told)).await;
                    drop(place);
                });
            }
        });
        Ok(())
    }
}

async fn answer(mut stream: TcpStream, told: &Mutex<Option<Scrape>>) -> io::Result<()> {
    let Ok(head) = timeout(ASKING, head(&mut stream)).await else { return Ok(()) };
    let Some(head) = head? else {
        return write(&mut stream, "431 Request Header Fields Too Large", "", true).await;
    };
    let line = head.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let mut words = line.split(|octet| *octet == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|octet| *octet == b'?').next().unwrap_or_default();
    let with_body = match method {
        b"GET" => true,
        b"HEAD" => false,
        _ => return write(&mut stream, "405 Method Not Allowed", "", true).await,
    };
    if path != b"/metrics" {
        return write(&mut stream, "404 Not Found", "metrics are at /metrics\n", with_body).await;
    }
    let scrape = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match scrape.and_then(|scrape| metrics::text(scrape).ok()) {
        Some(text) => write(&mut stream, "200 OK", &text, with_body).await,
        None => write(&mut stream, "503 Service Unavailable", "", with_body).await,
    }
}

/// A request up to its empty line; `None` where that does not come.
async fn head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(HEAD);
    while !head.windows(4).any(|octets| octets == b"\r\n\r\n") {
        if head.len() >= HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

async fn write(
    stream: &mut TcpStream,
    status: &str,
    body: &str,
    with_body: bool,
) -> io::Result<()> {
    let kind = if status.starts_with("200") { CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Allow: GET, HEAD\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if with_body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// Octets of a request that are read: scrapers send some hundred.
const HEAD: usize = 8 * 1024;
/// Requests that are answered at once.
const AT_ONCE: usize = 8;
/// Time within which a request has to be there: who connects and says nothing holds no place.
const ASKING: Duration = Duration::from_secs(2);
/// Time that one may take, from its first octet to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time until another look at what cannot be accepted.
const BREATH: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_what_to_do() {
        let first = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let told = Listener::bind(first.address).unwrap_err().to_string();
        assert!(told.contains("choose another port") && told.lines().count() == 1, "{told}");
        let told = Listener::bind(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err().to_string();
        assert!(told.contains("choose an address of this host"), "{told}");
    }
}
