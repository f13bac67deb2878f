use std::time::Duration;

use super::*;

async fn is_woken(parked: &Parked) -> bool {
    tokio::time::timeout(Duration::ZERO, parked.moved()).await.is_ok()
}

#[tokio::test]
async fn a_move_wakes_whom_it_concerns_once() {
    let parking = Arc::new(Parking::default());
    let consumer = Parked::at([parking.clone()], Awaits::HighWatermark);
    let follower = Parked::at([parking.clone()], Awaits::LogEnd);
    parking.wake(Moved::LogEnd);
    assert!(!is_woken(&consumer).await && is_woken(&follower).await);
    assert!(!is_woken(&follower).await);
    parking.wake(Moved::HighWatermark);
    assert!(is_woken(&consumer).await);
    parking.wake(Moved::Leadership);
    assert!(is_woken(&consumer).await && is_woken(&follower).await);
}

#[tokio::test]
async fn a_move_between_parking_and_waiting_is_not_missed() {
    let parking = Arc::new(Parking::default());
    let parked = Parked::at([parking.clone()], Awaits::HighWatermark);
    parking.wake(Moved::HighWatermark);
    parking.wake(Moved::HighWatermark);
    assert!(is_woken(&parked).await);
    assert!(!is_woken(&parked).await, "two moves before one look are one");
}

#[tokio::test]
async fn who_is_gone_is_not_parked_anywhere() {
    let (one, two) = (Arc::new(Parking::default()), Arc::new(Parking::default()));
    let first = Parked::at([one.clone(), two.clone()], Awaits::LogEnd);
    let second = Parked::at([two.clone()], Awaits::LogEnd);
    assert_eq!((one.len(), two.len()), (1, 2));
    drop(first);
    assert_eq!((one.len(), two.len()), (0, 1));
    two.wake(Moved::LogEnd);
    assert!(is_woken(&second).await);
}
