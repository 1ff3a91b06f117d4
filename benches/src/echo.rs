//! What the parts cost by themselves: a bare quinn echo on loopback, 100 bytes there and back on one stream; and a bare
//! room, where each receiver checks a signature, syncs a file and answers, and nothing else.

use std::io::{Seek, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_crdt::identity::{DeviceKey, verify};
use cairn_crdt::ids::DeviceId;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::{Mutex, oneshot};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An open stream to an echoing server in the same process.
pub struct Echo {
    stream: Mutex<(SendStream, RecvStream)>,
    _keep: (Endpoint, Endpoint, Connection),
}

impl Echo {
    /// Both ends.
    ///
    /// # Errors
    /// What quinn refuses.
    pub async fn start() -> Result<Self, Error> {
        let (server, config) = listen()?;
        let address = server.local_addr()?;
        let listening = server.clone();
        tokio::spawn(async move {
            while let Some(incoming) = listening.accept().await {
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                        let mut buffer = [0u8; 100];
                        while recv.read_exact(&mut buffer).await.is_ok() && send.write_all(&buffer).await.is_ok() {}
                    }
                });
            }
        });
        let mut client = Endpoint::client(HERE)?;
        client.set_default_client_config(config);
        let connection = client.connect(address, "localhost")?.await?;
        let stream = Mutex::new(connection.open_bi().await?);
        Ok(Self { stream, _keep: (server, client, connection) })
    }

    /// There and back.
    ///
    /// # Errors
    /// What quinn refuses.
    pub async fn once(&self) -> Result<Duration, Error> {
        let mut stream = self.stream.lock().await;
        let mut buffer = [7u8; 100];
        let start = Instant::now();
        stream.0.write_all(&buffer).await?;
        stream.1.read_exact(&mut buffer).await?;
        Ok(start.elapsed())
    }
}

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An endpoint that listens, and what a client needs to trust it.
fn listen() -> Result<(Endpoint, ClientConfig), Error> {
    // Somebody else in this process may have been first; either provider is ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = Endpoint::server(ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?, HERE)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    Ok((server, ClientConfig::with_root_certificates(Arc::new(roots))?))
}

/// Bytes of a message in the bare room: about what an entry of a hundred characters takes.
const MESSAGE: usize = 300;

/// A sender and receivers in this process, a connection with each. A receiver checks the signature of a message, appends
/// it to a file of its own, syncs the file and answers: what no program can leave out that promises as much.
pub struct BareRoom {
    streams: Vec<(SendStream, RecvStream)>,
    key: DeviceKey,
    _keep: (Endpoint, Vec<Connection>),
}

impl BareRoom {
    /// A sender and so many receivers.
    ///
    /// # Errors
    /// What quinn or the system refuses.
    pub async fn start(receivers: usize) -> Result<Self, Error> {
        let key = DeviceKey::from_seed(&[7; 32]);
        let client = Endpoint::client(HERE)?;
        let (mut streams, mut connections) = (Vec::new(), Vec::new());
        for _ in 0..receivers {
            let (server, config) = listen()?;
            let (address, author) = (server.local_addr()?, key.id());
            tokio::spawn(async move { receive(&server, author).await });
            let connection = client.connect_with(config, address, "localhost")?.await?;
            streams.push(connection.open_bi().await?);
            connections.push(connection);
        }
        Ok(Self { streams, key, _keep: (client, connections) })
    }

    /// One message to all, and all their answers.
    ///
    /// # Errors
    /// What quinn refuses, and a receiver that ended.
    pub async fn once(&mut self) -> Result<(), Error> {
        let body = [9u8; MESSAGE];
        let message = [&body[..], &self.key.sign("bench", &body)].concat();
        for (send, _) in &mut self.streams {
            send.write_all(&message).await?;
        }
        for (_, recv) in &mut self.streams {
            recv.read_exact(&mut [0u8; 40]).await?;
        }
        Ok(())
    }
}

async fn receive(server: &Endpoint, author: DeviceId) -> Result<(), Error> {
    let connection = server.accept().await.ok_or("no sender")?.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut file = tempfile::tempfile()?;
    let mut message = [0u8; MESSAGE + 64];
    // The file grows before, as a journal does.
    file.write_all(&[0; 1024 * 1024])?;
    file.rewind()?;
    file.sync_all()?;
    let (to_disk, writes) = std::sync::mpsc::channel::<(Vec<u8>, oneshot::Sender<std::io::Result<()>>)>();
    std::thread::spawn(move || {
        for (bytes, done) in writes {
            let _ = done.send(file.write_all(&bytes).and_then(|()| file.sync_data()));
        }
    });
    loop {
        recv.read_exact(&mut message).await?;
        let (body, signature) = message.split_last_chunk::<64>().ok_or("too short")?;
        if !verify(&author, "bench", body, signature) {
            return Err("a wrong signature".into());
        }
        let (done, synced) = oneshot::channel();
        to_disk.send((message.to_vec(), done))?;
        synced.await??;
        send.write_all(&[1; 40]).await?;
    }
}
