//! A broker's configuration: the typed fields, and every key's value with where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::endpoint::{Endpoint, SecurityProtocol, parse_protocol_map};
use super::error::Error;
use super::inter_broker_protocol::InterBrokerProtocol;
use super::keys::{BROKER_KEYS, OLD_KEYS, Update, broker_key};
use super::properties::Properties;
use super::value::{check, split_list};

/// Declares the fields that are their key's value and nothing else: dots of the key become underscores.
macro_rules! broker_config {
    ($($field:ident: $type:ty,)*) => {
        /// What a broker is told to be. A field carries its key's name with dots as underscores and means what
        /// the key's row in [`super::keys::BROKER_KEYS`] says.
        ///
        /// A value of this type never changes; a dynamic update makes a new one ([`BrokerConfig::with_dynamic`]).
        #[derive(Debug, Clone)]
        pub struct BrokerConfig {
            $(pub $field: $type,)*
            /// `broker.id` or `node.id`; -1: one is taken from the registry.
            pub broker_id: i32,
            /// Where to listen, in the order of the file. Controller listeners of KRaft files are left out.
            pub listeners: Vec<Endpoint>,
            /// Where clients are told to connect to; port 0: the listener's, once it is bound.
            pub advertised_listeners: Vec<Endpoint>,
            pub listener_security_protocol_map: BTreeMap<String, SecurityProtocol>,
            /// The name of one of `advertised_listeners`.
            pub inter_broker_listener_name: String,
            /// Never empty.
            pub log_dirs: Vec<PathBuf>,
            pub log_retention_ms: i64,
            pub log_roll_ms: i64,
            pub log_roll_jitter_ms: i64,
            pub log_flush_interval_ms: i64,
            /// `None`: the registry inside this process.
            pub zookeeper_connect: Option<String>,
            pub zookeeper_connection_timeout_ms: i32,
            pub registry_data_dir: PathBuf,
            /// Address and its own limit.
            pub max_connections_per_ip_overrides: BTreeMap<String, i32>,
            layers: Layers,
            /// Each known key's effective value, as Kafka writes it.
            values: BTreeMap<&'static str, String>,
            warnings: Vec<String>,
        }

        /// The plain fields alone.
        struct Plain { $($field: $type,)* }

        impl Plain {
            fn read(values: &BTreeMap<&'static str, String>) -> Result<Plain, Error> {
                Ok(Plain { $($field: read(values, &stringify!($field).replace('_', "."))?,)* })
            }
        }

        impl BrokerConfig {
            fn compose(plain: Plain, derived: Derived, layers: Layers, values: BTreeMap<&'static str, String>) -> BrokerConfig {
                BrokerConfig {
                    $($field: plain.$field,)*
                    broker_id: derived.broker_id,
                    listeners: derived.listeners,
                    advertised_listeners: derived.advertised_listeners,
                    listener_security_protocol_map: derived.protocols,
                    inter_broker_listener_name: derived.inter_broker_listener_name,
                    log_dirs: derived.log_dirs,
                    log_retention_ms: derived.log_retention_ms,
                    log_roll_ms: derived.log_roll_ms,
                    log_roll_jitter_ms: derived.log_roll_jitter_ms,
                    log_flush_interval_ms: derived.log_flush_interval_ms,
                    zookeeper_connect: derived.zookeeper_connect,
                    zookeeper_connection_timeout_ms: derived.zookeeper_connection_timeout_ms,
                    registry_data_dir: derived.registry_data_dir,
                    max_connections_per_ip_overrides: derived.max_connections_per_ip_overrides,
                    layers,
                    values,
                    warnings: derived.warnings,
                }
            }
        }
    };
}

broker_config! {
    auto_create_topics_enable: bool,
    auto_leader_rebalance_enable: bool,
    broker_id_generation_enable: bool,
    broker_rack: Option<String>,
    compression_gzip_level: i32,
    compression_lz4_level: i32,
    compression_type: String,
    compression_zstd_level: i32,
    connections_max_idle_ms: i64,
    controlled_shutdown_enable: bool,
    controlled_shutdown_max_retries: i32,
    controlled_shutdown_retry_backoff_ms: i64,
    controller_socket_timeout_ms: i32,
    default_replication_factor: i32,
    delete_topic_enable: bool,
    fetch_max_bytes: i32,
    group_consumer_assignors: Vec<String>,
    group_consumer_heartbeat_interval_ms: i32,
    group_consumer_max_size: i32,
    group_consumer_migration_policy: String,
    group_consumer_session_timeout_ms: i32,
    group_coordinator_rebalance_protocols: Vec<String>,
    group_initial_rebalance_delay_ms: i32,
    group_max_session_timeout_ms: i32,
    group_max_size: i32,
    group_min_session_timeout_ms: i32,
    inter_broker_protocol_version: String,
    leader_imbalance_check_interval_seconds: i64,
    leader_imbalance_per_broker_percentage: i32,
    log_cleaner_backoff_ms: i64,
    log_cleaner_dedupe_buffer_size: i64,
    log_cleaner_delete_retention_ms: i64,
    log_cleaner_enable: bool,
    log_cleaner_io_buffer_load_factor: f64,
    log_cleaner_io_buffer_size: i32,
    log_cleaner_io_max_bytes_per_second: f64,
    log_cleaner_max_compaction_lag_ms: i64,
    log_cleaner_min_cleanable_ratio: f64,
    log_cleaner_min_compaction_lag_ms: i64,
    log_cleaner_threads: i32,
    log_cleanup_policy: Vec<String>,
    log_flush_interval_messages: i64,
    log_flush_offset_checkpoint_interval_ms: i32,
    log_flush_scheduler_interval_ms: i64,
    log_flush_start_offset_checkpoint_interval_ms: i32,
    log_index_interval_bytes: i32,
    log_index_size_max_bytes: i32,
    log_initial_task_delay_ms: i64,
    log_message_downconversion_enable: bool,
    log_message_timestamp_after_max_ms: i64,
    log_message_timestamp_before_max_ms: i64,
    log_message_timestamp_difference_max_ms: i64,
    log_message_timestamp_type: String,
    log_preallocate: bool,
    log_retention_bytes: i64,
    log_retention_check_interval_ms: i64,
    log_segment_bytes: i32,
    log_segment_delete_delay_ms: i64,
    max_connection_creation_rate: i32,
    max_connections: i32,
    max_connections_per_ip: i32,
    max_incremental_fetch_session_cache_slots: i32,
    max_request_partition_size_limit: i32,
    message_max_bytes: i32,
    metrics_listener: Option<String>,
    min_insync_replicas: i32,
    num_io_threads: i32,
    num_network_threads: i32,
    num_partitions: i32,
    num_recovery_threads_per_data_dir: i32,
    num_replica_fetchers: i32,
    offset_metadata_max_bytes: i32,
    offsets_commit_required_acks: i16,
    offsets_commit_timeout_ms: i32,
    offsets_load_buffer_size: i32,
    offsets_retention_check_interval_ms: i64,
    offsets_retention_minutes: i32,
    offsets_topic_compression_codec: i32,
    offsets_topic_num_partitions: i32,
    offsets_topic_replication_factor: i16,
    offsets_topic_segment_bytes: i32,
    producer_id_expiration_check_interval_ms: i32,
    producer_id_expiration_ms: i32,
    queued_max_request_bytes: i64,
    queued_max_requests: i32,
    registry_listener: String,
    replica_fetch_backoff_ms: i32,
    replica_fetch_max_bytes: i32,
    replica_fetch_min_bytes: i32,
    replica_fetch_response_max_bytes: i32,
    replica_fetch_wait_max_ms: i32,
    replica_high_watermark_checkpoint_interval_ms: i64,
    replica_lag_time_max_ms: i64,
    replica_selector_class: Option<String>,
    replica_socket_timeout_ms: i32,
    request_timeout_ms: i32,
    reserved_broker_max_id: i32,
    socket_listen_backlog_size: i32,
    socket_receive_buffer_bytes: i32,
    socket_request_max_bytes: i32,
    socket_send_buffer_bytes: i32,
    transaction_abort_timed_out_transaction_cleanup_interval_ms: i32,
    transaction_max_timeout_ms: i32,
    transaction_remove_expired_transaction_cleanup_interval_ms: i32,
    transaction_partition_verification_enable: bool,
    transaction_state_log_min_isr: i32,
    transaction_state_log_num_partitions: i32,
    transaction_state_log_replication_factor: i16,
    transaction_state_log_segment_bytes: i32,
    transactional_id_expiration_ms: i32,
    unclean_leader_election_enable: bool,
    zookeeper_session_timeout_ms: i32,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig::from_properties(Properties::new(), &[]).expect("the table's defaults are valid")
    }
}

impl BrokerConfig {
    /// Reads a broker's file, `overrides` (`--override key=value`) winning over it.
    ///
    /// # Errors
    /// `InvalidValue` for a known key with a value outside its range; `Unusable` for values that do not go
    /// together. Keys that nobody knows are not an error: [`BrokerConfig::warnings`] names them.
    pub fn from_properties(mut props: Properties, overrides: &[(String, String)]) -> Result<BrokerConfig, Error> {
        for (key, value) in overrides {
            props.set_override(key, value);
        }
        BrokerConfig::build(Layers { file: props, ..Layers::default() })
    }

    /// The same broker with other dynamic values: `cluster` for all brokers, `broker` for this one, which wins.
    ///
    /// # Errors
    /// As [`BrokerConfig::from_properties`].
    pub fn with_dynamic(
        &self,
        cluster: BTreeMap<String, String>,
        broker: BTreeMap<String, String>,
    ) -> Result<BrokerConfig, Error> {
        BrokerConfig::build(Layers { file: self.layers.file.clone(), cluster, broker })
    }

    /// The effective value of a known key, as Kafka writes it; `None` if it has none.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// What the log should say about the file: unknown keys, and settings that cannot be honoured.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The text `KafkaConfig values: ` of the start-up log: one tab-indented line a key, sorted, passwords hidden.
    pub fn values_text(&self) -> String {
        let mut text = String::from("KafkaConfig values: \n");
        for key in BROKER_KEYS {
            let value = match self.value(key.name) {
                Some(_) if key.is_sensitive() => "[hidden]",
                Some(value) => value,
                None => "null",
            };
            match key.kind {
                super::keys::Kind::List => {
                    let elements = split_list(if value == "null" { "" } else { value }).join(", ");
                    text.push_str(&format!("\t{} = [{elements}]\n", key.name));
                }
                _ => text.push_str(&format!("\t{} = {value}\n", key.name)),
            }
        }
        text
    }

    /// `inter.broker.protocol.version`, as something that can be compared.
    pub fn inter_broker_protocol(&self) -> InterBrokerProtocol {
        InterBrokerProtocol::parse(&self.inter_broker_protocol_version)
    }

    /// The dynamic values: those for all brokers, and those for this one.
    pub fn dynamic_values(&self) -> (&BTreeMap<String, String>, &BTreeMap<String, String>) {
        (&self.layers.cluster, &self.layers.broker)
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    fn build(layers: Layers) -> Result<BrokerConfig, Error> {
        let values = layers.effective()?;
        let derived = Derived::read(&layers.file, &values)?;
        Ok(BrokerConfig::compose(Plain::read(&values)?, derived, layers, values))
    }
}

/// The places that a value may come from, below the strongest first: broker, cluster, file.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// `server.properties` and `--override`.
    pub file: Properties,
    /// Dynamic, for all brokers.
    pub cluster: BTreeMap<String, String>,
    /// Dynamic, for this broker.
    pub broker: BTreeMap<String, String>,
}

impl Layers {
    fn effective(&self) -> Result<BTreeMap<&'static str, String>, Error> {
        let mut values = BTreeMap::new();
        let defaults = BROKER_KEYS.iter().filter_map(|key| Some((key.name, key.default?.to_owned())));
        values.extend(defaults);
        for (name, raw) in self.file.iter() {
            let Some(key) = broker_key(name) else { continue };
            let value = check(name, key.kind, key.valid, raw).map_err(|e| e.at(self.file.location(name)))?;
            values.insert(key.name, value);
        }
        for (name, raw) in self.cluster.iter().chain(&self.broker) {
            let Some(key) = broker_key(name) else { continue };
            values.insert(key.name, check(name, key.kind, key.valid, raw)?);
        }
        Ok(values)
    }
}

/// The fields that more than one key decides.
struct Derived {
    broker_id: i32,
    listeners: Vec<Endpoint>,
    advertised_listeners: Vec<Endpoint>,
    protocols: BTreeMap<String, SecurityProtocol>,
    inter_broker_listener_name: String,
    log_dirs: Vec<PathBuf>,
    log_retention_ms: i64,
    log_roll_ms: i64,
    log_roll_jitter_ms: i64,
    log_flush_interval_ms: i64,
    zookeeper_connect: Option<String>,
    zookeeper_connection_timeout_ms: i32,
    registry_data_dir: PathBuf,
    max_connections_per_ip_overrides: BTreeMap<String, i32>,
    warnings: Vec<String>,
}

impl Derived {
    fn read(file: &Properties, values: &BTreeMap<&'static str, String>) -> Result<Derived, Error> {
        let get = |key: &str| values.get(key).map(String::as_str);
        let mut warnings: Vec<String> =
            file.iter().filter_map(|(key, _)| unknown(key)).map(|key| unknown_text(file, key)).collect();

        let roles = split_list(get("process.roles").unwrap_or(""));
        if roles == ["controller"] {
            let reason = "process.roles=controller: there are no separate controllers here; \
                          every broker can be the controller";
            return Err(Error::unusable(reason).at(file.location("process.roles")));
        }
        if !roles.is_empty() {
            warnings.push("process.roles is ignored: metadata is kept in the registry, not in a Raft quorum".into());
        }

        let protocols = parse_protocol_map(get("listener.security.protocol.map").unwrap_or(""))
            .map_err(|e| e.at(file.location("listener.security.protocol.map")))?;
        let mut listeners = listeners(file, get("listeners").unwrap_or(""), &protocols)?;
        let controllers = split_list(get("controller.listener.names").unwrap_or(""));
        listeners.retain(|e| !controllers.iter().any(|name| name.eq_ignore_ascii_case(&e.listener_name)));
        if let Some(secured) = listeners.iter().find(|e| e.security_protocol != SecurityProtocol::Plaintext) {
            let protocol = secured.security_protocol.name();
            let reason = format!("listeners: {secured} asks for {protocol}, and only PLAINTEXT is served yet");
            return Err(Error::unusable(reason).at(file.location("listeners")));
        }
        let mut advertised_listeners = advertised(file, get("advertised.listeners"), &listeners, &protocols)?;
        advertised_listeners.retain(|e| !controllers.iter().any(|name| name.eq_ignore_ascii_case(&e.listener_name)));
        let inter_broker_listener_name = inter_broker_listener(file, values)?;
        check_listeners(&listeners, &advertised_listeners, &inter_broker_listener_name)?;

        let log_dirs: Vec<PathBuf> = split_list(get("log.dirs").or(get("log.dir")).unwrap_or(""))
            .into_iter()
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .collect();
        let Some(first_dir) = log_dirs.first() else {
            let reason = "requirement failed: At least one log directory must be defined via log.dirs or log.dir.";
            return Err(Error::unusable(reason).at(file.location("log.dirs")));
        };
        let registry_data_dir = get("registry.data.dir").map_or_else(|| beside(first_dir), PathBuf::from);
        check_together(file, values)?;
        let overrides = get("max.connections.per.ip.overrides").unwrap_or("");
        Ok(Derived {
            broker_id: broker_id(file, values)?,
            log_retention_ms: retention_ms(values)?.max(-1),
            log_roll_ms: first_ms(values, &[("log.roll.ms", 1), ("log.roll.hours", MS_PER_HOUR)])?,
            log_roll_jitter_ms: first_ms(values, &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", MS_PER_HOUR)])?,
            log_flush_interval_ms: first_ms(
                values,
                &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
            )?,
            zookeeper_connect: get("zookeeper.connect").filter(|connect| !connect.is_empty()).map(str::to_owned),
            zookeeper_connection_timeout_ms: match get("zookeeper.connection.timeout.ms") {
                Some(_) => read(values, "zookeeper.connection.timeout.ms")?,
                None => read(values, "zookeeper.session.timeout.ms")?,
            },
            max_connections_per_ip_overrides: connection_overrides(overrides)
                .map_err(|e| e.at(file.location("max.connections.per.ip.overrides")))?,
            listeners,
            advertised_listeners,
            protocols,
            inter_broker_listener_name,
            log_dirs,
            registry_data_dir,
            warnings,
        })
    }
}

fn unknown(key: &str) -> Option<&str> {
    let is_listener_key = key.starts_with("listener.name.");
    let is_old = OLD_KEYS.iter().any(|old| old.name == key);
    (broker_key(key).is_none() && !is_listener_key && !is_old).then_some(key)
}

fn unknown_text(file: &Properties, key: &str) -> String {
    match file.location(key) {
        Some(location) => format!("Property {key} is not known and has no effect ({location})"),
        None => format!("Property {key} is not known and has no effect"),
    }
}

/// `listeners`, or what `host.name` and `port` of a file for Kafka 0.8 … 2.8 make.
fn listeners(
    file: &Properties,
    configured: &str,
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<Vec<Endpoint>, Error> {
    let old = |key: &str| file.get(key).map(str::trim).filter(|value| !value.is_empty());
    let (host, port) = (old("host.name"), old("port"));
    let at = |key: &str| file.location(key);
    if file.contains("listeners") || (host.is_none() && port.is_none()) {
        return Endpoint::parse_list(configured, protocols).map_err(|e| e.at(at("listeners")));
    }
    let text = format!("PLAINTEXT://{}:{}", host.unwrap_or(""), port.unwrap_or("9092"));
    Endpoint::parse_list(&text, protocols).map_err(|e| e.at(at("port").or(at("host.name"))))
}

/// `advertised.listeners`, or what its predecessors make, or the listeners; with a host in every one.
fn advertised(
    file: &Properties,
    configured: Option<&str>,
    listeners: &[Endpoint],
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<Vec<Endpoint>, Error> {
    let old = |key: &str| file.get(key).map(str::trim).filter(|value| !value.is_empty());
    let mut endpoints = match configured {
        Some(text) if !text.is_empty() => {
            Endpoint::parse_list(text, protocols).map_err(|e| e.at(file.location("advertised.listeners")))?
        }
        _ => listeners.to_vec(),
    };
    if configured.is_none()
        && let Some(first) = endpoints.first_mut()
    {
        if let Some(host) = old("advertised.host.name") {
            first.host = host.to_owned();
        }
        if let Some(port) = old("advertised.port") {
            first.port = port.parse().map_err(|_| Error::InvalidValue {
                key: "advertised.port".into(),
                value: port.into(),
                reason: "Not a number of type INT".into(),
                allowed: "0 to 65535".into(),
                location: file.location("advertised.port"),
            })?;
        }
    }
    for endpoint in &mut endpoints {
        if endpoint.host.is_empty() {
            endpoint.host = own_host_name();
        }
    }
    Ok(endpoints)
}

/// This machine's name if it can be looked up, or else `localhost`: clients must be able to use it.
fn own_host_name() -> String {
    use std::net::ToSocketAddrs;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let resolves =
        !name.is_empty() && (name, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
    if resolves { name.to_owned() } else { "localhost".to_owned() }
}

fn inter_broker_listener(file: &Properties, values: &BTreeMap<&'static str, String>) -> Result<String, Error> {
    let protocol = values.get("security.inter.broker.protocol").map_or("PLAINTEXT", String::as_str);
    match values.get("inter.broker.listener.name") {
        Some(_) if file.contains("security.inter.broker.protocol") => {
            let reason = "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.";
            Err(Error::unusable(reason).at(file.location("security.inter.broker.protocol")))
        }
        Some(name) => Ok(name.to_ascii_uppercase()),
        None => Ok(protocol.to_owned()),
    }
}

/// Source: `KafkaConfig.validateValues`.
fn check_listeners(listeners: &[Endpoint], advertised: &[Endpoint], inter_broker: &str) -> Result<(), Error> {
    let names =
        |endpoints: &[Endpoint]| endpoints.iter().map(|e| e.listener_name.as_str()).collect::<Vec<_>>().join(",");
    let refuse = |reason: String| Err(Error::unusable(format!("requirement failed: {reason}")));
    if advertised.is_empty() {
        return refuse("There must be at least one broker advertised listener.".into());
    }
    if !advertised.iter().any(|e| e.listener_name == inter_broker) {
        return refuse(format!(
            "inter.broker.listener.name must be a listener name defined in advertised.listeners. \
             The valid options based on currently configured listeners are {}",
            names(advertised)
        ));
    }
    if !advertised.iter().all(|a| listeners.iter().any(|l| l.listener_name == a.listener_name)) {
        return refuse(format!(
            "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. \
             Found {}. The valid options based on the current configuration are {}",
            names(advertised),
            names(listeners)
        ));
    }
    if advertised.iter().any(|e| e.host == "0.0.0.0") {
        return refuse(
            "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.".into(),
        );
    }
    let mut fixed: Vec<(&str, u16)> =
        listeners.iter().map(|e| (e.host.as_str(), e.port)).filter(|e| e.1 != 0).collect();
    fixed.sort_unstable();
    if fixed.windows(2).any(|pair| pair[0] == pair[1]) {
        let all: Vec<String> = listeners.iter().map(Endpoint::to_string).collect();
        return refuse(format!("Each listener must have a different port, listeners: {}", all.join(",")));
    }
    Ok(())
}

/// Source: `KafkaConfig.validateValues`.
fn check_together(file: &Properties, values: &BTreeMap<&'static str, String>) -> Result<(), Error> {
    let long = |key: &str| read::<i64>(values, key);
    let require = |holds: bool, key: &str, reason: &str| match holds {
        true => Ok(()),
        false => Err(Error::unusable(format!("requirement failed: {reason}")).at(file.location(key))),
    };
    let retention = retention_ms(values)?;
    require(
        retention != 0,
        "log.retention.ms",
        "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
    )?;
    let roll = first_ms(values, &[("log.roll.ms", 1), ("log.roll.hours", MS_PER_HOUR)])?;
    require(roll >= 1, "log.roll.ms", "log.roll.ms must be greater than or equal to 1")?;
    let jitter = first_ms(values, &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", MS_PER_HOUR)])?;
    require(jitter >= 0, "log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0")?;
    let buffer_per_thread = long("log.cleaner.dedupe.buffer.size")? / long("log.cleaner.threads")?.max(1);
    require(
        buffer_per_thread > 1024 * 1024,
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    )?;
    let wait = long("replica.fetch.wait.max.ms")?;
    require(
        wait <= long("replica.socket.timeout.ms")?,
        "replica.socket.timeout.ms",
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts",
    )?;
    require(
        wait <= long("replica.lag.time.max.ms")?,
        "replica.fetch.wait.max.ms",
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR",
    )?;
    let queued = long("queued.max.request.bytes")?;
    require(
        queued <= 0 || queued >= long("socket.request.max.bytes")?,
        "queued.max.request.bytes",
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
    )?;
    let has_overrides = values.get("max.connections.per.ip.overrides").is_some_and(|text| !text.is_empty());
    require(
        long("max.connections.per.ip")? != 0 || has_overrides,
        "max.connections.per.ip",
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
    )
}

/// `broker.id` and `node.id` are one key under two names.
fn broker_id(file: &Properties, values: &BTreeMap<&'static str, String>) -> Result<i32, Error> {
    let (broker, node): (i32, i32) = (read(values, "broker.id")?, read(values, "node.id")?);
    let at = |reason: &str| Err(Error::unusable(reason).at(file.location("broker.id").or(file.location("node.id"))));
    let id = match (file.contains("broker.id"), file.contains("node.id")) {
        (true, true) if broker != node => return at("You must set `node.id` to the same value as `broker.id`."),
        (false, true) => node,
        _ => broker,
    };
    let generates = read(values, "broker.id.generation.enable")?;
    if generates && !(-1..=read::<i32>(values, "reserved.broker.max.id")?).contains(&id) {
        return at(
            "requirement failed: broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id",
        );
    }
    if !generates && id < 0 {
        return at("requirement failed: broker.id must be greater than or equal to 0");
    }
    Ok(id)
}

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 3_600_000;

fn retention_ms(values: &BTreeMap<&'static str, String>) -> Result<i64, Error> {
    let keys =
        [("log.retention.ms", 1), ("log.retention.minutes", MS_PER_MINUTE), ("log.retention.hours", MS_PER_HOUR)];
    first_ms(values, &keys)
}

/// The first key of several units that has a value, in milliseconds.
fn first_ms(values: &BTreeMap<&'static str, String>, keys: &[(&str, i64)]) -> Result<i64, Error> {
    for &(key, unit_ms) in keys {
        if values.contains_key(key) {
            return Ok(read::<i64>(values, key)?.saturating_mul(unit_ms));
        }
    }
    Ok(-1)
}

/// `host:limit,…`
fn connection_overrides(text: &str) -> Result<BTreeMap<String, i32>, Error> {
    let refuse = |item: &str| Error::unusable(format!("max.connections.per.ip.overrides: {item} is not HOST:LIMIT"));
    split_list(text)
        .into_iter()
        .map(|item| {
            let (host, limit) = item.rsplit_once(':').ok_or_else(|| refuse(item))?;
            Ok((host.to_owned(), limit.trim().parse().map_err(|_| refuse(item))?))
        })
        .collect()
}

/// The registry's data cannot lie in a log dir: Kafka takes every folder there for a partition.
fn beside(log_dir: &Path) -> PathBuf {
    let mut name = log_dir.as_os_str().to_owned();
    name.push("-registry");
    PathBuf::from(name)
}

/// A type that a checked value can be read as.
trait FromValue: Sized {
    fn from_value(value: Option<&str>) -> Option<Self>;
}

macro_rules! from_parsed {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: Option<&str>) -> Option<Self> {
                value?.parse().ok()
            }
        }
    )*};
}

from_parsed!(bool, i16, i32, i64, f64, String);

impl FromValue for Option<String> {
    fn from_value(value: Option<&str>) -> Option<Self> {
        Some(value.filter(|text| !text.is_empty()).map(str::to_owned))
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Option<&str>) -> Option<Self> {
        Some(split_list(value.unwrap_or("")).into_iter().map(str::to_owned).collect())
    }
}

fn read<T: FromValue>(values: &BTreeMap<&'static str, String>, key: &str) -> Result<T, Error> {
    let value = values.get(key).map(String::as_str);
    T::from_value(value).ok_or_else(|| Error::unusable(format!("{key} has no usable value: {value:?}")))
}

/// For whom a dynamic broker key is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    OneBroker,
    AllBrokers,
}

/// Checks dynamic broker configs before they are written to the registry. Unknown keys pass, as in Kafka.
///
/// # Errors
/// `NotDynamic`, `NeedsListenerPrefix`, `InvalidValue` or `PerBrokerOnly`, in this order.
///
/// Source: `DynamicBrokerConfig.validateConfigs`.
pub fn validate_broker_configs<'a>(
    configs: impl IntoIterator<Item = (&'a str, &'a str)>,
    scope: Scope,
) -> Result<(), Error> {
    let configs: Vec<(&str, &str)> = configs.into_iter().collect();
    let named = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        configs.iter().filter(|(name, _)| wanted(name)).map(|(name, _)| (*name).to_owned()).collect()
    };
    let update = |name: &str| broker_key(name).map(|key| key.update);
    let fixed = named(&|name| update(name) == Some(Update::ReadOnly));
    if !fixed.is_empty() {
        return Err(Error::NotDynamic(fixed));
    }
    let unprefixed = named(&|name| LISTENER_SECURITY_KEYS.contains(&name));
    if !unprefixed.is_empty() {
        return Err(Error::NeedsListenerPrefix(unprefixed));
    }
    for (name, raw) in &configs {
        if let Some(key) = broker_key(base_name(name)) {
            check(key.name, key.kind, key.valid, raw)?;
        }
    }
    let per_broker = named(&|name| {
        let is_cluster_level = CLUSTER_LEVEL_LISTENER_KEYS.contains(&base_name(name));
        update(name) == Some(Update::PerBroker) || (base_name(name) != name && !is_cluster_level)
    });
    if scope == Scope::AllBrokers && !per_broker.is_empty() {
        return Err(Error::PerBrokerOnly(per_broker));
    }
    Ok(())
}

/// `listener.name.NAME.KEY` → `KEY`.
pub(super) fn base_name(name: &str) -> &str {
    name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, base)| base)
}

const LISTENER_SECURITY_KEYS: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

const CLUSTER_LEVEL_LISTENER_KEYS: &[&str] =
    &["max.connections", "max.connection.creation.rate", "num.network.threads"];
