//! Starting a real node on a data folder: key, settings, store, port, sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::netkey::Ring;
use cairn_crdt::vault::DataKey;

use crate::api::{Compacted, Event, NodeOptions};
use crate::care;
use crate::data::DataFolder;
use crate::discovery::{DiscoveryArgs, DiscoveryEvent};
use crate::documents::DocumentsMsg;
use crate::endpoint::EndpointMsg;
use crate::env::Env;
use crate::limits::{BEACON_PORT, MISSING_FOR};
use crate::link::Transport;
use crate::link::quic::{QuicOptions, QuicTransport};
use crate::lives::{Remake, Renew, Renewed};
use crate::net::udp::UdpBeacons;
use crate::net::{BeaconIo, interfaces::Wanted};
use crate::netkeys;
use crate::node::{Node, Parts, StartError};
use crate::proto::discovery::{DiscoveryConfig, Known};
use crate::proto::session::{Control, clean_name};
use crate::sessions::SessionsMsg;
use crate::settings::Settings;
use crate::storage::WriterMode;
use crate::store::{RedbStore, Store, Table, Write};
use crate::wiring::Wiring;

const PORT_KEY: &[u8] = b"port";

/// A data folder, opened.
pub struct Opened {
    /// The folder, locked for this process.
    pub folder: DataFolder,
    /// The device's key.
    pub key: DeviceKey,
    /// The store.
    pub store: Arc<RedbStore>,
    /// The settings.
    pub settings: Settings,
    /// The keys of the network.
    pub keys: Ring,
    /// The name to show: the settings', else the user's or the host's.
    pub name: String,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
    /// Room that was given back, if an earlier start has left that to this one.
    pub given_back: Option<Compacted>,
}

/// Opens a data folder, with its key where it has a passphrase. A damaged store is kept aside, with a warning, and what can
/// be saved of it takes its place.
///
/// # Errors
/// [`StartError`]: the folder is in use or cannot be read, the key is damaged, the settings are not right.
pub fn open_data(data: &Path, key: Option<DataKey>) -> Result<Opened, StartError> {
    let mut folder = DataFolder::open(data)?;
    folder.unlock(key)?;
    open_folder(folder, Renew::default()).map(|(opened, _)| opened)
}

/// Opens what is in a data folder, after what is to be done with it before.
fn open_folder(mut folder: DataFolder, renew: Renew) -> Result<(Opened, Renewed), StartError> {
    let mut renewed = Renewed { kept: folder.settle()?, ..Renewed::default() };
    let settings = Settings::load(&folder.settings())?;
    let key = folder.device_key()?;
    let keys = netkeys::load(&netkeys::file_in(folder.path()), folder.seal())?;
    let (store, repaired) = care::open_store(&folder, renew.verify)?;
    let mut warnings = Vec::from_iter(repaired.clone());
    renewed.repaired = repaired;
    if renew.compact {
        renewed.compacted = Some(care::compact(&folder, &store)?);
    }
    let given_back = care::room::at_start(&store, folder.path()).unwrap_or_else(|error| {
        tracing::warn!(%error, "room in the store could not be given back");
        None
    });
    warnings.append(&mut folder.take_warnings());
    let name = settings.name.as_deref().and_then(clean_name).unwrap_or_else(default_name);
    Ok((Opened { folder, key, store: Arc::new(store), settings, keys, name, warnings, given_back }, renewed))
}

/// The name of the person who is logged in, else of their account, else of the machine.
#[must_use]
pub fn default_name() -> String {
    [whoami::realname().ok(), whoami::username().ok().filter(|u| u != "root"), whoami::hostname().ok()]
        .into_iter()
        .flatten()
        .filter_map(|n| clean_name(&n))
        .find(|n| !n.eq_ignore_ascii_case("unknown") && n != "root")
        .unwrap_or_else(|| "Somebody".into())
}

/// Starts a node. Must be called within a tokio runtime with timers and IO.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub async fn start(options: NodeOptions) -> Result<Node, StartError> {
    let mut folder = DataFolder::open(&options.data)?;
    folder.unlock(options.key.clone())?;
    let (parts, _) = make_parts(&options, folder, Renew::default(), None).await?;
    // A name was said for this start, and is kept; what a restored backup says comes after.
    let later = NodeOptions { name: None, ..options };
    let remake: Remake = Box::new(move |renew, keep, port| {
        let options = later.clone();
        Box::pin(async move {
            let folder = keep.downcast::<DataFolder>();
            let folder = folder.map_err(|_| StartError::System("the data folder is not at hand".into()))?;
            make_parts(&options, *folder, renew, Some(port)).await
        })
    });
    Node::start_renewable(parts, Some(remake)).await
}

/// What a node on a data folder is made of; `port`: the one it had in the life before.
async fn make_parts(
    options: &NodeOptions,
    folder: DataFolder,
    renew: Renew,
    port: Option<u16>,
) -> Result<(Parts, Renewed), StartError> {
    // Checking, repairing or compacting a large store takes its time.
    let opened = tokio::task::spawn_blocking(move || open_folder(folder, renew)).await;
    let (opened, renewed) = opened.map_err(|e| StartError::System(e.to_string()))??;
    let Opened { folder, key, store, mut settings, keys, mut name, warnings, given_back } = opened;
    if let Some(wanted) = &options.name {
        name = clean_name(wanted).ok_or(StartError::BadName)?;
        (settings.name, settings.named) = (Some(name.clone()), true);
        settings.save(&folder.settings())?;
    }
    let remembered = store.get(Table::Meta, PORT_KEY)?.and_then(|b| <[u8; 2]>::try_from(b).ok());
    let quic = QuicOptions {
        port: options.port,
        remembered: port.or(remembered.map(u16::from_be_bytes)),
        loopback_only: options.loopback_only,
    };
    let transport = Arc::new(QuicTransport::bind(&key, &quic).map_err(|e| StartError::Transport(e.to_string()))?);
    let port = transport.port();
    let mut first = Vec::new();
    if quic.remembered != Some(port) {
        first.push(Write::Put(Table::Meta, PORT_KEY.to_vec(), port.to_be_bytes().to_vec()));
    }
    let wanted = Wanted { names: options.interfaces.clone(), loopback_only: options.loopback_only };
    let io: Arc<dyn BeaconIo> = if options.no_discovery {
        Arc::new(Silent)
    } else {
        Arc::new(UdpBeacons::open(options.beacon_port.unwrap_or(BEACON_PORT), wanted))
    };
    let beacons = !options.no_discovery;
    let (epoch, settings_file) = (tokio::time::Instant::now(), folder.settings());
    let configured = options.peers.clone();
    let parts = Parts {
        resumed: None,
        given_back,
        env: Env::system().map_err(StartError::System)?,
        known: cairn_crdt::known::Known::this_build(),
        key,
        store,
        seal: folder.seal().clone(),
        first,
        writer: WriterMode::Thread,
        transport,
        settings: (settings, Some(settings_file)),
        keys: (keys, Some(netkeys::file_in(folder.path()))),
        name,
        data: folder.path().to_path_buf(),
        discovery: Box::new(move |w| discovery_args(w, io.clone(), epoch, configured.clone(), beacons)),
        discovering: beacons,
        keep: Box::new(folder),
        troubles: warnings.clone(),
    };
    for w in &warnings {
        tracing::warn!("{w}");
    }
    Ok((parts, renewed))
}

/// What discovery is started with, each time anew: what the node knows by then.
#[must_use]
pub fn discovery_args(
    wiring: &Arc<Wiring>,
    io: Arc<dyn BeaconIo>,
    epoch: tokio::time::Instant,
    configured: Vec<SocketAddr>,
    beacons: bool,
) -> DiscoveryArgs {
    let now = wiring.env.now_ms();
    let hour = u64::try_from(MISSING_FOR.as_millis()).unwrap_or(u64::MAX);
    let known = wiring.people.recent(now.saturating_sub(hour)).into_iter().flat_map(|(device, addresses, seen)| {
        let seen_ago = Duration::from_millis(now.saturating_sub(seen));
        addresses.into_iter().map(move |addr| Known { device, addr, seen_ago })
    });
    let network = crate::documents::claims_of(wiring.store.as_ref()).first().map(|c| (c.id, c.settled));
    let config = DiscoveryConfig {
        key: wiring.key.clone(),
        incarnation: wiring.incarnation,
        port: wiring.transport.port(),
        network,
        keys: wiring.accepted_keys(),
        configured,
        known: known.collect(),
        beacons,
        seed: wiring.env.random(),
    };
    let weak = Arc::downgrade(wiring);
    let report = Arc::new(move |event| {
        if let Some(wiring) = weak.upgrade() {
            heard(&wiring, event);
        }
    });
    let weak = Arc::downgrade(wiring);
    let lag = Arc::new(move || weak.upgrade().map_or(Duration::ZERO, |wiring| wiring.lag()));
    DiscoveryArgs { config, io, epoch, report, lag }
}

/// What discovery wants or learned goes to whom it concerns.
fn heard(wiring: &Wiring, event: DiscoveryEvent) {
    match event {
        DiscoveryEvent::Dial { addr, device } => {
            wiring.endpoint.cast(EndpointMsg::Dial { address: addr, device });
        }
        DiscoveryEvent::Met(met) => {
            if let Some((network, _)) = met.network {
                wiring.documents.cast(DocumentsMsg::NetworkHeard(network));
            }
        }
        // Anybody can send a goodbye in a beacon: it only makes us ask.
        DiscoveryEvent::Goodbye(device) => {
            wiring.sessions.cast(SessionsMsg::Tell(device, Control::Probe(device)));
        }
        DiscoveryEvent::IdentityElsewhere { addr } => {
            let sentence = format!(
                "This identity runs elsewhere too (heard from {}). If you copied this data folder, use only one of the \
                 copies; if you did not, somebody has your key.",
                addr.ip()
            );
            wiring.trouble("identity_elsewhere", Some(sentence.clone()));
            wiring.notice("identity_elsewhere", sentence);
        }
        DiscoveryEvent::LinksChanged(interfaces) => {
            let changed = {
                let mut about = wiring.about.write().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut about.interfaces, interfaces.clone()) != interfaces
            };
            if changed {
                wiring.endpoint.cast(EndpointMsg::NetworkChanged);
                wiring.emit(Event::Status(Box::new(wiring.status())));
            }
        }
        DiscoveryEvent::Troubles(all) => {
            wiring.trouble("beacons", (!all.is_empty()).then(|| all.join(" ")));
        }
    }
}

/// Beacons switched off.
struct Silent;

impl BeaconIo for Silent {
    fn announce(&self, _: &[u8]) {}
    fn answer(&self, _: SocketAddr, _: &[u8]) {}
    fn rescan(&self) {}
    fn interfaces(&self) -> Vec<crate::api::InterfaceInfo> {
        Vec::new()
    }
    fn recv(&self) -> crate::link::BoxFuture<'_, crate::net::BeaconEvent> {
        Box::pin(std::future::pending())
    }
}
