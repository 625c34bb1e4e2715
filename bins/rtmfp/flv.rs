//! FLV files on disk.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use rtmfp_media::TcMessage;
use rtmfp_media::flv::{self, FileHeader, FlvWriteError};

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// The messages of a file, read as they are asked for. After an error there are no more.
pub(crate) struct Reader {
    file: Option<File>,
    tags: flv::Reader,
    name: String,
    piece: Vec<u8>,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        Ok(Self { file: Some(file), tags: flv::Reader::default(), name, piece: vec![0; PIECE] })
    }

    fn advance(&mut self) -> Result<Option<TcMessage>, String> {
        while let Some(file) = &mut self.file {
            let tag = self.tags.next_tag().map_err(|error| format!("{}: {error}", self.name))?;
            if tag.is_some() {
                return Ok(tag);
            }
            let count = file.read(&mut self.piece);
            let count = count.map_err(|error| format!("cannot read {}: {error}", self.name))?;
            if count == 0 {
                self.file = None;
                if !self.tags.is_between_tags() {
                    log::warn!("{} is cut in its last message", self.name);
                }
            }
            self.tags.feed(&self.piece[..count]);
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<TcMessage, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.file = None;
        }
        next.transpose()
    }
}

/// All messages of a file.
pub(crate) fn read_all(path: &Path) -> Result<Vec<TcMessage>, String> {
    Reader::open(path)?.collect()
}

/// A file that is being written.
pub(crate) struct Writer {
    file: BufWriter<File>,
    name: String,
    tag: Vec<u8>,
}

impl Writer {
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|error| format!("cannot write {name}: {error}"))?;
        let mut tag = Vec::new();
        flv::write_header(&mut tag, FileHeader { audio: true, video: true });
        let mut writer = Self { file: BufWriter::new(file), name, tag };
        writer.put()?;
        Ok(writer)
    }

    /// Writes a message, unless it is one that has no place in a file.
    pub(crate) fn write(&mut self, message: &TcMessage) -> Result<(), String> {
        match flv::write_tag(&mut self.tag, message) {
            Ok(()) => self.put(),
            Err(FlvWriteError::Kind(_)) => Ok(()),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Makes sure that all is in the file.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.file.flush().map_err(|error| format!("cannot write {}: {error}", self.name))
    }

    fn put(&mut self) -> Result<(), String> {
        let written = self.file.write_all(&self.tag);
        self.tag.clear();
        written.map_err(|error| format!("cannot write {}: {error}", self.name))
    }
}
