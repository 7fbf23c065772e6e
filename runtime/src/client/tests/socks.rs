//! A SOCKS5 proxy (RFC 1928) that notes what it is asked for and always leads to one server.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

pub(super) struct SocksServer {
    pub(super) address: SocketAddr,
    asked_for: Arc<Mutex<Vec<String>>>,
}

impl SocksServer {
    pub(super) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked_for = Arc::new(Mutex::new(Vec::new()));
        let notes = asked_for.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = notes.clone();
                tokio::spawn(async move { relay(stream, target, &notes).await.unwrap() });
            }
        });
        Self { address, asked_for }
    }

    /// The destinations so far, as `name host:port`, `v4 …` or `v6 …`.
    pub(super) fn asked_for(&self) -> Vec<String> {
        self.asked_for.lock().unwrap().clone()
    }
}

async fn relay(
    mut stream: TcpStream,
    target: SocketAddr,
    notes: &Mutex<Vec<String>>,
) -> io::Result<()> {
    assert_eq!(stream.read_u8().await?, 5, "version");
    let methods = stream.read_u8().await?;
    stream.read_exact(&mut vec![0; methods.into()]).await?;
    stream.write_all(&[5, 0]).await?; // no authentication

    let mut head = [0; 3];
    stream.read_exact(&mut head).await?;
    assert_eq!(head, [5, 1, 0], "CONNECT");
    let host = match stream.read_u8().await? {
        1 => format!("v4 {}", Ipv4Addr::from(stream.read_u32().await?)),
        4 => format!("v6 {}", Ipv6Addr::from(stream.read_u128().await?)),
        3 => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            format!("name {}", String::from_utf8(name).unwrap())
        }
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await?;
    notes.lock().unwrap().push(format!("{host}:{port}"));

    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?; // succeeded
    let mut server = TcpStream::connect(target).await?;
    let _ = copy_bidirectional(&mut stream, &mut server).await; // either side may just leave
    Ok(())
}
