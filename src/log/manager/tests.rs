use super::super::tests::{batch, create, open, values};
use super::*;
use crate::log::AppendOrigin;

fn options(dirs: Vec<PathBuf>, broker_id: i32, cluster_id: &str) -> LogManagerOptions<'static> {
    LogManagerOptions {
        dirs,
        broker_id,
        cluster_id: cluster_id.into(),
        config_of: &|_| LogConfig::default(),
        recovery_threads_per_dir: 2,
        now_ms: 0,
    }
}

#[test]
fn a_second_broker_is_kept_out_until_the_first_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let first = LogManager::open(options(vec![dir.path().into()], 0, "c")).unwrap();
    let error = LogManager::open(options(vec![dir.path().into()], 0, "c")).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "Failed to acquire lock on file .lock in {}. A Kafka instance in another process or thread is using this \
             directory.",
            dir.path().display()
        )
    );
    first.shutdown(0);
    assert!(!dir.path().join(".lock").exists());
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
    let second = LogManager::open(options(vec![dir.path().into()], 0, "c")).unwrap();
    assert!(!dir.path().join(".kafka_cleanshutdown").exists());
    drop(second);
    LogManager::open(options(vec![dir.path().into()], 0, "c")).expect("a lock does not outlive its holder");
}

#[test]
fn a_dir_of_another_broker_or_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(LogManager::open(options(vec![dir.path().into()], 4, "mine")).unwrap());
    let meta = MetaProperties::read(dir.path()).unwrap().unwrap();
    assert_eq!(meta, MetaProperties { broker_id: Some(4), cluster_id: Some("mine".into()) });
    let error = LogManager::open(options(vec![dir.path().into()], 5, "mine")).err().unwrap();
    assert!(matches!(error, Error::InconsistentBrokerId { configured: 5, stored: 4, .. }), "{error}");
    let error = LogManager::open(options(vec![dir.path().into()], 4, "other")).err().unwrap();
    assert!(matches!(error, Error::InconsistentClusterId { .. }), "{error}");
    fs::write(dir.path().join("meta.properties"), "version=9\n").unwrap();
    assert!(matches!(MetaProperties::read(dir.path()), Err(Error::Malformed { .. })));
}

#[test]
fn partitions_go_where_the_fewest_are_and_are_found_again() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = vec![a.path().to_owned(), b.path().to_owned()];
    let manager = LogManager::open(options(dirs.clone(), 0, "c")).unwrap();
    for partition in 0..10 {
        let log = manager.create_log("many", partition, Uuid([1; 16]), LogConfig::default(), 0).unwrap();
        log.append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, 0).unwrap();
        log.update_high_watermark(1);
    }
    for dir in [&a, &b] {
        assert_eq!(fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(), 5);
    }
    manager.shutdown(0);
    let manager = LogManager::open(options(dirs, 0, "c")).unwrap();
    assert_eq!(manager.all_logs().len(), 10);
    assert!(manager.all_logs().iter().all(|log| log.high_watermark() == 1 && log.topic_id() == Uuid([1; 16])));
    let error = manager.create_log("many", 0, Uuid([2; 16]), LogConfig::default(), 0).unwrap_err();
    assert!(matches!(error, Error::InconsistentTopicId { .. }));
}

#[test]
fn a_deleted_partition_is_gone_at_once_and_its_files_later() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let manager = open(dir.path(), &config);
    let log = create(&manager, &config);
    log.append_as_leader(&mut batch(&["old", "old", "old"]), 0, AppendOrigin::Client, 0).unwrap();
    log.update_high_watermark(3);
    log.flush(0).unwrap();
    manager.checkpoint_recovery_points();
    manager.delete_log(log.topic_partition(), 0).unwrap();
    assert!(manager.log(log.topic_partition()).is_none());
    let error = log.append_as_leader(&mut batch(&["late"]), 0, AppendOrigin::Client, 0).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }));
    assert!(!log.log_dir().is_offline(), "who still holds the log has not broken the disk");

    drop(log);

    // Its namesake must not inherit its offsets, not even when the broker crashes before the next checkpoint.
    let log = create(&manager, &config);
    assert_eq!(log.log_end_offset(), 0);
    log.append_as_leader(&mut batch(&["new"]), 0, AppendOrigin::Client, 0).unwrap();
    manager.delete_expired_files(59_999);
    let folders = || fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders(), 2);
    drop((log, manager));
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(values(&log, 0, 1000), [(0, "new".to_owned())]);
    assert_eq!(log.recovery_point(), 0);
    manager.delete_expired_files(60_000);
    assert_eq!(folders(), 1);
}

#[test]
fn names_of_deleted_folders_fit() {
    let long = TopicPartition::new("x".repeat(249), 12345);
    assert_eq!(deleted_name(&long).len(), 255);
    assert!(deleted_name(&long).ends_with("-delete"));
    assert_ne!(deleted_name(&long), deleted_name(&long));
    assert_eq!(deleted_name(&TopicPartition::new("t", 0)).len(), 3 + 1 + 32 + 7);
}

#[test]
fn folders_are_partitions_if_their_names_say_so() {
    assert_eq!(parse_folder("a-b-10"), Some(TopicPartition::new("a-b", 10)));
    for name in ["a", "a-", "-1", "a-x", "a--1", "a-99999999999"] {
        assert_eq!(parse_folder(name).filter(|tp| name != "a--1" || &*tp.topic != "a-"), None, "{name}");
    }
}

#[test]
fn a_failed_disk_takes_its_dir_offline_and_spares_the_others() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = vec![a.path().to_owned(), b.path().to_owned()];
    let manager = LogManager::open(options(dirs, 0, "c")).unwrap();
    let logs: Vec<_> =
        (0..2).map(|p| manager.create_log("t", p, Uuid([1; 16]), LogConfig::default(), 0).unwrap()).collect();
    let failing = logs[0].log_dir().path().join("t-0");
    fs::remove_dir_all(&failing).unwrap();
    // The first append must write the leader epoch, and finds no folder.
    let error = logs[0].append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, 0).unwrap_err();
    assert!(matches!(&error, Error::Storage { dir, .. } if dir == logs[0].log_dir().path()), "{error}");
    assert!(logs[0].log_dir().is_offline());
    assert!(matches!(logs[0].read(0, 1, super::super::UpperBound::LogEnd, true), Err(Error::Storage { .. })));
    logs[1].append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, 0).unwrap();
    let next = manager.create_log("t", 2, Uuid([1; 16]), LogConfig::default(), 0).unwrap();
    assert_eq!(next.log_dir().path(), logs[1].log_dir().path());
    manager.shutdown(0);
    assert!(!failing.parent().unwrap().join(".kafka_cleanshutdown").exists());
}

#[test]
fn checkpoints_may_be_asked_for_by_many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(vec![dir.path().into()], 0, "c")).unwrap();
    manager.create_log("t", 0, Uuid([1; 16]), LogConfig::default(), 0).unwrap();
    thread::scope(|scope| {
        for job in [
            LogManager::checkpoint_high_watermarks,
            LogManager::checkpoint_log_start_offsets,
            LogManager::checkpoint_recovery_points,
        ] {
            let manager = &manager;
            scope.spawn(move || (0..20).for_each(|_| job(manager)));
        }
    });
    assert!(!manager.dirs()[0].is_offline());
    manager.shutdown(0);
    let path = dir.path().join(HIGH_WATERMARKS);
    fs::remove_file(&path).unwrap();
    manager.checkpoint_high_watermarks();
    assert!(!path.exists(), "after the stop the dir is another's");
}

fn offsets_and_values(log: &Log) -> Vec<(i64, String)> {
    values(log, log.log_start_offset(), 1 << 20)
}

fn append(log: &Log, value: &str, epoch: i32) {
    log.append_as_leader(&mut batch(&[value]), epoch, AppendOrigin::Client, 0).unwrap();
    log.update_high_watermark(log.log_end_offset());
}

/// Two log dirs, and a partition in the first of them.
fn two_dirs() -> ([tempfile::TempDir; 2], Vec<PathBuf>, LogManager, Arc<Log>) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths: Vec<PathBuf> = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let manager = LogManager::open(options(paths.clone(), 0, "c")).unwrap();
    let log = manager.create_log("t", 0, Uuid([1; 16]), LogConfig::default(), 0).unwrap();
    assert_eq!(log.log_dir().path(), paths[0]);
    (dirs, paths, manager, log)
}

#[test]
fn a_partition_moves_to_another_dir_while_it_is_written() {
    let (_dirs, paths, manager, log) = two_dirs();
    (0..5).for_each(|i| append(&log, &i.to_string(), 0));
    log.increment_log_start_offset(2, 0).unwrap();
    assert!(manager.move_log(log.topic_partition(), &paths[1], 0).unwrap());
    assert!(manager.advance_moves(0) > 0);
    assert!(paths[0].join("t-0").exists(), "not before everything is there");
    // What is appended, and what is truncated, is so there too.
    append(&log, "late", 0);
    assert!(manager.advance_moves(0) > 0);
    log.truncate_to(5, 0).unwrap();
    append(&log, "instead", 3);
    append(&log, "and more", 3);
    let expected = offsets_and_values(&log);
    assert_eq!(expected.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    let lag = |manager: &LogManager| {
        let contents = manager.contents();
        let logs = contents.iter().flat_map(|dir| dir.logs.clone().unwrap());
        logs.map(|log| (log.is_future, log.lag)).collect::<Vec<_>>()
    };
    assert_eq!(lag(&manager), [(false, 0), (true, 1)]);
    while manager.has_moves() {
        manager.advance_moves(0);
    }
    assert_eq!(log.log_dir().path(), paths[1]);
    assert_eq!(offsets_and_values(&log), expected);
    assert_eq!((log.high_watermark(), log.latest_epoch(), log.topic_id()), (7, Some(3), Uuid([1; 16])));
    append(&log, "there", 3);
    assert!(!paths[0].join("t-0").exists() && paths[1].join("t-0").exists());
    manager.delete_expired_files(60_000);
    assert!(fs::read_dir(&paths[0]).unwrap().all(|entry| entry.unwrap().path().is_file()));
    let expected = offsets_and_values(&log);
    drop((log, manager));
    // After a crash too.
    let manager = LogManager::open(options(paths.clone(), 0, "c")).unwrap();
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!((log.log_dir().path(), offsets_and_values(&log)), (&*paths[1], expected));
}

#[test]
fn a_move_goes_on_after_a_restart_and_can_be_called_off() {
    let (_dirs, paths, manager, log) = two_dirs();
    let name = log.topic_partition().clone();
    append(&log, "a", 0);
    manager.move_log(&name, &paths[1], 0).unwrap();
    manager.advance_moves(0);
    append(&log, "b", 0);
    manager.shutdown(0);
    drop((log, manager));
    let manager = LogManager::open(options(paths.clone(), 0, "c")).unwrap();
    let log = manager.log(&name).unwrap();
    assert!(manager.has_moves());
    // Back to where it is: the future log is thrown away.
    assert!(manager.move_log(&name, &paths[0], 0).unwrap());
    assert!(!manager.has_moves());
    manager.delete_expired_files(0);
    assert!(fs::read_dir(&paths[1]).unwrap().all(|entry| entry.unwrap().path().is_file()));
    assert!(manager.move_log(&name, &paths[1], 0).unwrap());
    while manager.has_moves() {
        manager.advance_moves(0);
    }
    assert_eq!((log.log_dir().path(), offsets_and_values(&log).len()), (&*paths[1], 2));
    // What cannot be.
    let unknown = manager.move_log(&name, Path::new("/nowhere"), 0).unwrap_err();
    assert!(matches!(unknown, Error::LogDirNotFound(_)));
    let long = TopicPartition::new("x".repeat(240), 0);
    assert!(matches!(manager.move_log(&long, &paths[0], 0), Err(Error::NameTooLong)));
    // What is not here yet is made there, though the other dir has fewer.
    let later = TopicPartition::new("later", 0);
    assert!(!manager.move_log(&later, &paths[1], 0).unwrap());
    let made = manager.create_log("later", 0, Uuid([1; 16]), LogConfig::default(), 0).unwrap();
    assert_eq!(made.log_dir().path(), paths[1]);
    // A deletion takes what is on its way along.
    manager.move_log(&name, &paths[0], 0).unwrap();
    manager.delete_log(&name, 0).unwrap();
    assert!(!manager.has_moves());
}

#[test]
fn of_a_partition_in_two_dirs_the_one_that_went_on_is_kept() {
    let (_dirs, paths, manager, log) = two_dirs();
    append(&log, "a", 0);
    manager.shutdown(0);
    fs::create_dir(paths[1].join("t-0")).unwrap();
    for entry in fs::read_dir(paths[0].join("t-0")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), paths[1].join("t-0").join(entry.file_name())).unwrap();
    }
    fs::remove_file(paths[0].join(".kafka_cleanshutdown")).unwrap();
    drop((log, manager));
    let alone = LogManager::open(options(vec![paths[1].clone()], 0, "c")).unwrap();
    append(&alone.log(&TopicPartition::new("t", 0)).unwrap(), "b", 0);
    drop(alone);
    let manager = LogManager::open(options(paths.clone(), 0, "c")).unwrap();
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!((log.log_dir().path(), offsets_and_values(&log).len()), (&*paths[1], 2));
    assert!(!paths[0].join("t-0").exists());
}

#[test]
fn what_may_be_in_a_failed_dir_does_not_begin_anew_in_another() {
    let (_dirs, paths, manager, log) = two_dirs();
    append(&log, "a", 0);
    let mut failures = manager.failures();
    manager.shutdown(0);
    drop((log, manager));
    assert!(!failures.has_changed().unwrap_or(false), "{}", *failures.borrow_and_update());
    // A disk that is not mounted: a file where the dir should be.
    let away = paths[0].with_extension("away");
    fs::rename(&paths[0], &away).unwrap();
    fs::write(&paths[0], "").unwrap();
    let manager = LogManager::open(options(paths.clone(), 0, "c")).unwrap();
    assert_eq!(*manager.failures().borrow(), 0, "one that was never there has not failed meanwhile");
    assert!(manager.dirs()[0].is_offline() && !manager.have_all_failed());
    let make = |partition, is_new| {
        let partition = TopicPartition::new("t", partition);
        let new = NewLog { partition, topic_id: Uuid([1; 16]), config: LogConfig::default(), is_new };
        manager.create_logs(vec![new], 0).remove(0)
    };
    assert!(matches!(make(0, false), Err(Error::Storage { .. })));
    assert_eq!(make(1, true).unwrap().log_dir().path(), paths[1]);
    assert!(manager.contents()[0].logs.is_none());
    fs::remove_file(&paths[0]).unwrap();
    fs::rename(&away, &paths[0]).unwrap();
}

#[test]
fn who_still_holds_a_deleted_log_does_not_break_its_dir() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 100, ..LogConfig::default() };
    let manager = open(dir.path(), &config);
    let log = create(&manager, &config);
    for i in 0..5 {
        append(&log, &i.to_string(), 0);
    }
    manager.delete_log(log.topic_partition(), 0).unwrap();
    manager.delete_expired_files(i64::MAX);
    assert!(log.flush(0).is_ok());
    assert!(log.assign_epoch(5, 5).is_err());
    assert!(log.delete_old_segments(i64::MAX).is_err());
    assert!(log.truncate_to(1, 0).is_err());
    assert!(log.append_as_leader(&mut batch(&["x"]), 9, AppendOrigin::Client, 0).is_err());
    assert!(log.assign_topic_id(Uuid([3; 16])).is_err());
    assert!(!manager.dirs()[0].is_offline());
}
