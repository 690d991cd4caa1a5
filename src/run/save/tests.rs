use super::*;
use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::Stamp;

fn batch() -> Batch {
    let mut batch = Batch::default();
    let stamp = Stamp::new(0, 1, Timestamp(7));
    let link = LinkType::ETHERNET;
    let packet = Packet { stamp, link, data: &[7; 60], wire_length: 60, fcs_length: 0 };
    batch.add(0, &packet);
    batch.add(0, &packet);
    batch
}

#[test]
fn a_ring_goes_on_where_the_last_run_ended() {
    let folder = std::env::temp_dir().join(format!("goawhy-ring-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("web.pcapng");
    let target = Target { file, size: Some(1), files: Some(3), ..Target::default() };
    let mut turns = Vec::new();
    for _ in 0..2 {
        let Opened(mut writer, _) = Recorder::open(target.clone(), Vec::new()).unwrap();
        for _ in 0..3 {
            // Times of files are no finer than a tick of the kernel.
            thread::sleep(Duration::from_millis(20));
            writer.write(&batch(), 1);
            turns.push(writer.number);
        }
        thread::sleep(Duration::from_millis(20));
        writer.close();
    }
    assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    let unbounded = Target { files: None, ..target };
    assert_eq!((unbounded.first(), unbounded.next(7)), (4, 8));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn where_the_next_file_cannot_be_created_the_old_one_goes_on() {
    let folder = std::env::temp_dir().join(format!("goawhy-stuck-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let target = Target { file: folder.join("a.pcapng"), size: Some(1), ..Target::default() };
    let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
    writer.write(&batch(), 1);
    writer.flush();
    let file = writer.target.name(1);
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    writer.write(&batch(), 3);
    writer.flush();
    let saved = writer.lock().clone();
    assert_eq!((saved.packets, saved.lost), (4, 0));
    assert_eq!(saved.error, None, "nothing is lost");
    assert!(saved.stuck.unwrap().contains(&format!("go on to {}", file.display())));
    std::fs::rename(folder.with_extension("away"), &folder).unwrap();
    writer.write(&batch(), 5);
    assert_eq!((writer.number, writer.lock().stuck.clone()), (2, None));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_nobody_moved_is_written_on() {
    let name = format!("goawhy-hup-{}.pcapng", std::process::id());
    let file = std::env::temp_dir().join(name);
    let target = Target { file: file.clone(), ..Target::default() };
    let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
    let mut turn = |moved: bool| {
        writer.write(&batch(), 1);
        writer.flush();
        if moved {
            std::fs::rename(&file, file.with_extension("1")).unwrap();
        }
        writer.reopen.store(true, Ordering::Relaxed);
        writer.anew();
        file.metadata().unwrap().len()
    };
    let (one, two, anew) = (turn(false), turn(false), turn(true));
    assert!(anew < one && one < two, "{anew} {one} {two}");
    let old = file.with_extension("1");
    assert!(old.metadata().unwrap().len() > two);
    [file, old].iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[test]
fn what_is_there_stays_until_a_packet_comes() {
    let folder = std::env::temp_dir().join(format!("goawhy-stays-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.pcapng");
    let of = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
    let ring = Target { time: Some(Duration::ZERO), files: Some(2), ..Target::default() };
    for target in [Target::default(), ring] {
        let target = Target { file: file.clone(), ..target };
        let names = [target.name(1), target.name(2)];
        names.iter().for_each(|name| std::fs::write(name, "before").unwrap());
        let Opened(mut writer, made) = Recorder::open(target.clone(), Vec::new()).unwrap();
        writer.write(&Batch::default(), 1);
        writer.flush();
        writer.close();
        assert!(made.is_none() && names.iter().all(|name| of(name) == "before"));
        let saved = writer.lock().clone();
        assert!(saved.untouched && saved.told().contains("is as it was"), "{saved:?}");
        writer.write(&batch(), 1);
        writer.flush();
        let written = names.iter().filter(|name| of(name) != "before").count();
        // Another one begins with a packet only.
        assert_eq!(written, if target.rotates() { 1 } else { 2 });
        assert!(!writer.lock().untouched);
    }
    // Somebody keeps it under another name.
    std::fs::write(&file, "before").unwrap();
    let target = Target { file: file.clone(), ..Target::default() };
    let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
    let kept = folder.join("kept");
    std::fs::rename(&file, &kept).unwrap();
    writer.write(&batch(), 1);
    writer.close();
    assert!(of(&kept) == "before" && file.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn secrets_are_in_every_file_where_that_is_asked_for() {
    for keys in [true, false] {
        let name = format!("goawhy-keys-{}-{keys}.pcapng", std::process::id());
        let file = std::env::temp_dir().join(name);
        let size = Some(1);
        let target = Target { file, size, keys, ..Target::default() };
        let files = [target.name(1), target.name(2)];
        let link = LinkType::ETHERNET;
        let name = "eth0".to_owned();
        let interfaces = vec![Described { name, link, snap_length: 0, filter: None }];
        let (spares, _kept) = sync_channel(1);
        let opened = Recorder::open(target, interfaces).unwrap();
        let mut recorder = opened.begin(spares, usize::MAX);
        recorder.embed(&KeyLines::from(&b"CLIENT_RANDOM 00 11\n"[..]));
        while !files[1].exists() {
            recorder.save(batch(), 1);
            thread::sleep(Duration::from_millis(5));
        }
        recorder.finish();
        for file in files {
            let octets = std::fs::read(&file).unwrap();
            let found = octets.windows(13).any(|part| part == b"CLIENT_RANDOM");
            assert_eq!(found, keys, "{}", file.display());
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_what_was_written_stays() {
    let file = std::env::temp_dir().join(format!("goawhy-full-{}.pcapng", std::process::id()));
    let target = Target { file: file.clone(), ..Target::default() };
    let link = LinkType::ETHERNET;
    let name = "eth0".to_owned();
    let interfaces = vec![Described { name, link, snap_length: 0, filter: None }];
    let Opened(mut writer, _) = Recorder::open(target, interfaces.clone()).unwrap();
    writer.write(&batch(), 1);
    writer.flush();
    let size = file.metadata().unwrap().len();
    // A file that cannot be written stands for the disk.
    let out = Whole::new(File::open(&file).unwrap(), size);
    writer.saver = Some(Saver::new(out, &interfaces).unwrap());
    writer.flushed = 0;
    writer.write(&batch(), 3);
    writer.flush();
    writer.write(&batch(), 5);
    let saved = writer.lock().clone();
    assert_eq!((saved.packets, saved.lost), (2, 4));
    assert!(saved.error.unwrap().contains("nothing more is saved"));
    assert_eq!(file.metadata().unwrap().len(), size);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn packets_that_wait_for_the_disk_take_no_more_than_they_may() {
    let file = std::env::temp_dir().join(format!("goawhy-wait-{}.pipe", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    // Somebody who does not read stands for a disk that is slow.
    let mut reader = File::options().read(true).write(true).open(&file).unwrap();
    let opened = Recorder::open(Target { file: file.clone(), ..Target::default() }, Vec::new());
    let (spares, _kept) = sync_channel(1);
    let mut recorder = opened.unwrap().begin(spares, 1 << 20);
    let stamp = Stamp::new(0, 1, Timestamp(7));
    let data = vec![7; 400_000];
    let link = LinkType::ETHERNET;
    let packet = Packet { stamp, link, data: &data, wire_length: 400_000, fcs_length: 0 };
    let mut large = Batch::default();
    large.add(0, &packet);
    let saved = (0..9).filter(|number| recorder.save(large.clone(), *number).is_none()).count();
    assert!((2..=3).contains(&saved), "{saved}");
    let reads = thread::spawn(move || {
        let mut octets = vec![0; 1 << 16];
        while std::io::Read::read(&mut reader, &mut octets).is_ok_and(|read| read > 0) {
            if octets.windows(4).any(|part| part == b"last") {
                break;
            }
        }
    });
    recorder.finish();
    assert_eq!(recorder.facts().lost, 9 - saved as u64);
    std::fs::write(&file, "last").unwrap();
    reads.join().unwrap();
    std::fs::remove_file(file).unwrap();
}
