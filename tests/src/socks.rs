//! A SOCKS5 proxy on loopback (RFC 1928, with user names where they are offered, RFC 1929) that remembers who asked it to connect to what.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A connection that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The user name; empty where none was offered.
    pub user: String,
    /// Where to: `host:port`.
    pub target: String,
}

/// The proxy. Dropping it closes it.
pub struct Socks {
    address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
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
        let visits = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&seen)));
            }
        });
        Ok(Self { address, visits, task })
    }

    /// The URL of the proxy.
    pub fn setting(&self) -> String {
        format!("socks5h://{}", self.address)
    }

    /// Every `host:port` that was asked for.
    pub fn targets(&self) -> HashSet<String> {
        self.visits().into_iter().map(|visit| visit.target).collect()
    }

    /// Every connection that was asked for, in their order.
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().map(|visits| visits.clone()).unwrap_or_default()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, seen: Arc<Mutex<Vec<Visit>>>) -> std::io::Result<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await?;
    let mut methods = vec![0; greeting[1].into()];
    client.read_exact(&mut methods).await?;
    let user = match methods.contains(&2) {
        true => user_name(&mut client).await?,
        false => {
            client.write_all(&[5, 0]).await?;
            String::new()
        }
    };
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
        seen.push(Visit { user, target: target.clone() });
    }
    let mut server = TcpStream::connect(target).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Asks for a user name and a password, and lets everybody in.
async fn user_name(client: &mut TcpStream) -> std::io::Result<String> {
    client.write_all(&[5, 2]).await?;
    let _version = client.read_u8().await?;
    let mut name = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut name).await?;
    let mut password = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut password).await?;
    client.write_all(&[1, 0]).await?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}
