//! WriteTxnMarkers (key 27), versions 0–1, flexible from 1.

use super::prelude::*;

api!(WriteTxnMarkers, 27, 0..=1, flexible 1, WriteTxnMarkersRequest => WriteTxnMarkersResponse);

messages! {
    struct WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker> [0..],
    }

    struct WritableTxnMarker {
        producer_id: i64 [0..],
        producer_epoch: i16 [0..],
        transaction_result: bool [0..],
        topics: Vec<WritableTxnMarkerTopic> [0..],
        coordinator_epoch: i32 [0..],
    }

    struct WritableTxnMarkerTopic {
        name: String [0..],
        partition_indexes: Vec<i32> [0..],
    }

    struct WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult> [0..],
    }

    struct WritableTxnMarkerResult {
        producer_id: i64 [0..],
        topics: Vec<WritableTxnMarkerTopicResult> [0..],
    }

    struct WritableTxnMarkerTopicResult {
        name: String [0..],
        partitions: Vec<WritableTxnMarkerPartitionResult> [0..],
    }

    struct WritableTxnMarkerPartitionResult {
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
