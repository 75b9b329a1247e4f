"""Stamps blocks of an NBD export with sequence numbers, and checks them.

    stamps.py write URI RECORD [FLUSH]   stamps until the server goes away or standard input ends; RECORD then says what was answered.
                                         Prints "acknowledged N" as it goes. With FLUSH, every FLUSH-th write is followed by a flush,
                                         and there is one at the start (which is what begins write-back).
    stamps.py check URI RECORD           reads all blocks. Each must hold its last acknowledged stamp, or the one that was under way.

RECORD is JSON, block -> [acknowledged, flushed, under way]. Exit status 0 if all is right, else 1.
"""
import json
import os
import struct
import sys
import threading

import nbd

BLOCK, BLOCKS, WRITERS = 4096, 2048, 4


def stamp(block, sequence):
    return struct.pack("<QQ", block, sequence) * (BLOCK // 16)


def connect(uri):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    return handle


def write(uri, record, flush_every):
    state = {}
    if os.path.exists(record):
        with open(record) as file:
            state = {int(block): entry for block, entry in json.load(file).items()}
    first = 1 + max((max(entry) for entry in state.values()), default=0)
    stop, lock, total = threading.Event(), threading.Lock(), [0]

    def writer(number):
        random, sequence, flushed = number * 7919 + first, first, []
        try:
            handle = connect(uri)
            if flush_every:
                handle.flush()
            while not stop.is_set():
                random = (random * 1103515245 + 12345) & 0x7FFFFFFF
                block = (random >> 8) % (BLOCKS // WRITERS) * WRITERS + number
                entry = state.setdefault(block, [0, 0, 0])
                entry[2] = sequence
                handle.pwrite(stamp(block, sequence), block * BLOCK)
                entry[0] = sequence
                flushed.append(block)
                sequence += 1
                if flush_every and sequence % flush_every == 0:
                    handle.flush()
                    for each in flushed:
                        state[each][1] = state[each][0]
                    flushed.clear()
                with lock:
                    total[0] += 1
                    if total[0] % 50 == 0:
                        print("acknowledged", total[0], flush=True)
        except nbd.Error as error:
            print(f"writer {number}: {error}", file=sys.stderr)

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()

    def watch():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    for thread in threads:
        thread.join()
    with open(record, "w") as file:
        json.dump(state, file)
    print("recorded", total[0], flush=True)


def check(uri, record):
    with open(record) as file:
        state = {int(block): entry for block, entry in json.load(file).items()}
    handle = connect(uri)
    wrong = 0
    for block, (acknowledged, flushed, under_way) in sorted(state.items()):
        data = handle.pread(BLOCK, block * BLOCK)
        if data == bytes(BLOCK) and acknowledged == 0:
            state[block] = [0, 0, 0]
            continue
        found = struct.unpack_from("<QQ", data)
        if data != stamp(*found) or found[0] != block or found[1] not in (acknowledged, under_way):
            print(f"block {block}: found {found}, acknowledged {acknowledged}, flushed {flushed}, under way {under_way}", file=sys.stderr)
            wrong += 1
        state[block] = [found[1], found[1], found[1]]
    with open(record, "w") as file:
        json.dump(state, file)
    print(f"checked {len(state)}, wrong {wrong}", flush=True)
    handle.shutdown()
    sys.exit(1 if wrong or not state else 0)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0)
else:
    check(sys.argv[2], sys.argv[3])
