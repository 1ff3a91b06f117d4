//! A bare quinn echo on loopback: 100 bytes there and back on one stream, nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::Mutex;

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
        // Somebody else in this process may have been first; either provider is ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let here = "127.0.0.1:0".parse()?;
        let server = Endpoint::server(ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?, here)?;
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
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let mut client = Endpoint::client(here)?;
        client.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
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
