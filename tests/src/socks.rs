//! A SOCKS5 proxy on loopback (RFC 1928, no authentication) that remembers where it was asked to connect to.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The proxy. Dropping it closes it.
pub struct Socks {
    address: SocketAddr,
    targets: Arc<Mutex<HashSet<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Socks {
    /// Starts one on a port of its own.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let targets = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&seen)));
            }
        });
        Ok(Self { address, targets, task })
    }

    /// The URL of the proxy.
    pub fn setting(&self) -> String {
        format!("socks5h://{}", self.address)
    }

    /// Every `host:port` that was asked for.
    pub fn targets(&self) -> HashSet<String> {
        self.targets.lock().map(|targets| targets.clone()).unwrap_or_default()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, seen: Arc<Mutex<HashSet<String>>>) -> std::io::Result<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await?;
    let mut methods = vec![0; greeting[1].into()];
    client.read_exact(&mut methods).await?;
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
        _ => {
            let mut name = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
    };
    let target = format!("{host}:{}", client.read_u16().await?);
    if let Ok(mut seen) = seen.lock() {
        seen.insert(target.clone());
    }
    let mut server = TcpStream::connect(target).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
