//! Requests that change something, and batches, as clients send them.

use crate::registry::jute::{Malformed, Reader};
use crate::registry::proto::{Acl, Code, CreateMode, op};

/// A request for one change.
#[derive(Debug)]
pub struct Write<'a> {
    pub opcode: i32,
    pub change: Change<'a>,
}

#[derive(Debug)]
pub enum Change<'a> {
    Create {
        path: &'a str,
        data: Option<&'a [u8]>,
        acl: Vec<Acl>,
        mode: CreateMode,
    },
    Delete {
        path: &'a str,
        version: i32,
    },
    SetData {
        path: &'a str,
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetAcl {
        path: &'a str,
        acl: Vec<Acl>,
        version: i32,
    },
    Check {
        path: &'a str,
        version: i32,
    },
    /// It parses, and we do not do it.
    Refused(Code),
}

impl<'a> Write<'a> {
    pub fn is_write(opcode: i32) -> bool {
        matches!(
            opcode,
            op::CREATE
                | op::CREATE2
                | op::CREATE_CONTAINER
                | op::CREATE_TTL
                | op::DELETE
                | op::SET_DATA
                | op::SET_ACL
                | op::CHECK
        )
    }

    pub fn read(opcode: i32, r: &mut Reader<'a>) -> Result<Write<'a>, Malformed> {
        let change = match opcode {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                let (path, data, acl, flags) = (r.string()?, r.buffer()?, Acl::read_list(r)?, r.i32()?);
                if opcode == op::CREATE_TTL {
                    r.i64()?;
                }
                match CreateMode::from_flags(flags) {
                    // Persistent with TTL, plain and sequential: as a server without extended types.
                    None if flags == 5 || flags == 6 => Change::Refused(Code::UNIMPLEMENTED),
                    _ if opcode == op::CREATE_TTL => Change::Refused(Code::UNIMPLEMENTED),
                    None => Change::Refused(Code::BAD_ARGUMENTS),
                    Some(mode) => Change::Create { path, data, acl, mode },
                }
            }
            op::DELETE => Change::Delete { path: r.string()?, version: r.i32()? },
            op::SET_DATA => Change::SetData { path: r.string()?, data: r.buffer()?, version: r.i32()? },
            op::SET_ACL => Change::SetAcl { path: r.string()?, acl: Acl::read_list(r)?, version: r.i32()? },
            op::CHECK => Change::Check { path: r.string()?, version: r.i32()? },
            _ => return Err(Malformed("write request")),
        };
        Ok(Write { opcode, change })
    }
}

/// The operations of a multi, all parsed before the first is done.
pub fn read_multi<'a>(r: &mut Reader<'a>) -> Result<Vec<Write<'a>>, Malformed> {
    let mut writes = Vec::new();
    while let Some(opcode) = next_header(r)? {
        if opcode == op::SET_ACL {
            return Err(Malformed("multi operation"));
        }
        writes.push(Write::read(opcode, r)?);
    }
    Ok(writes)
}

/// One read of a multiRead.
#[derive(Debug)]
pub enum MultiRead<'a> {
    Data(&'a str),
    Children(&'a str),
}

impl<'a> MultiRead<'a> {
    pub fn path(&self) -> &'a str {
        match self {
            MultiRead::Data(path) | MultiRead::Children(path) => path,
        }
    }
}

pub fn read_multi_read<'a>(r: &mut Reader<'a>) -> Result<Vec<MultiRead<'a>>, Malformed> {
    let mut reads = Vec::new();
    while let Some(opcode) = next_header(r)? {
        let path = r.string()?;
        r.bool()?;
        reads.push(match opcode {
            op::GET_DATA => MultiRead::Data(path),
            op::GET_CHILDREN => MultiRead::Children(path),
            _ => return Err(Malformed("multiRead operation")),
        });
    }
    Ok(reads)
}

/// The op code of the next operation; `None` after the last.
fn next_header(r: &mut Reader<'_>) -> Result<Option<i32>, Malformed> {
    let (opcode, done, _) = (r.i32()?, r.bool()?, r.i32()?);
    Ok((!done).then_some(opcode))
}
