//! ListTransactions (key 66), versions 0–1: the transactional ids that this broker coordinates (KIP-664).
//!
//! - Names of states that do not exist are answered back · v1 filter by duration (KIP-994)

use std::sync::Arc;

use crate::broker::{Broker, wall_ms};
use crate::network::{Reply, RequestContext};
use crate::transaction::state::State;
use crate::wire::messages::list_transactions::TransactionState;
use crate::wire::messages::{ListTransactionsRequest, ListTransactionsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ListTransactionsRequest) -> Reply {
    let now_ms = wall_ms();
    let is_state = |name: &String| (0..8).filter_map(State::from_i8).any(|state| state.name() == name);
    let (known, unknown): (Vec<String>, Vec<String>) = request.state_filters.into_iter().partition(is_state);
    let asks_for_states = !known.is_empty() || !unknown.is_empty();
    let (listed, error) = broker.transactions.list();
    let states = listed.into_iter().filter(|listed| {
        let in_state = !asks_for_states || known.iter().any(|name| name == listed.state.name());
        let of_producer =
            request.producer_id_filters.is_empty() || request.producer_id_filters.contains(&listed.producer_id);
        let runs_long = request.duration_filter < 0
            || (listed.state == State::Ongoing && now_ms - listed.start_ms > request.duration_filter);
        in_state && of_producer && runs_long
    });
    let states = states.map(|listed| TransactionState {
        transactional_id: listed.transactional_id,
        producer_id: listed.producer_id,
        transaction_state: listed.state.name().to_owned(),
    });
    let response = ListTransactionsResponse {
        error_code: error.0,
        transaction_states: states.collect(),
        unknown_state_filters: unknown,
        ..Default::default()
    };
    Reply::now(&context, &response)
}
