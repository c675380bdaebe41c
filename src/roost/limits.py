"""Every number that somebody chose. Sizes are bytes and durations seconds unless the name says otherwise.

The defaults are at or above those of the platform we match (Durable Objects, "Limits").
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of one system; `[tool.roost.limits]` sets any of them by name."""

    # ids and sockets
    name_bytes_max: int = 1_024
    sockets_per_object_max: int = 32_768
    tags_per_socket_max: int = 10
    tag_bytes_max: int = 256
    attachment_bytes_max: int = 16_384
    auto_response_bytes_max: int = 2_048
    message_bytes_max: int = 32 * 1024 * 1024  # of one WebSocket message: received larger closes with 1009
    socket_event_ms_max: int = 604_800_000  # seven days

    # storage
    key_bytes_max: int = 2_048
    value_bytes_max: int = 4 * 1024 * 1024  # encoded
    keys_per_call_max: int = 128
    object_bytes_max: int = 10 * 1024**3  # then writes fail with StorageFullError; reads and deletes go on
    open_databases_max: int = 2_048  # per host: an open one costs two descriptors and about 200 KiB
    resting_databases_max: int = 256  # of those, the ones of objects that sleep
    journal_segment_bytes: int = 64 * 1024 * 1024  # preallocated, so that fdatasync writes no metadata
    loop_sync_seconds_max: float = 0.00025  # of a disk's syncs, for the loop to wait for a lone one itself; 0: never
    checked_at_open_bytes: int = 256 * 1024  # of an object's file, against its checksums; `roost check` reads all of it
    checkpoint_bytes: int = 4 * 1024 * 1024  # of captured frames per object, before its file is brought up to date
    checkpoint_bytes_total: int = 256 * 1024 * 1024  # of all open objects of a host: with many, each has less

    # alarms
    alarms_per_object_max: int = 10_000  # named ones: each is a row, and all that are due at once run one by one
    alarm_seconds_max: float = 900.0  # of one run; then it is cancelled and counts as failed
    alarm_cancel_seconds_max: float = 30.0  # for a cancelled run to end; then the object is reset
    alarm_retries_max: int = 6  # of an alarm that fails; then it is listed as failed
    alarms_ringing_max: int = 100  # objects of a host that are woken by alarms at once; beyond it the latest wait
    alarm_loop_rings: int = 60  # of one object within a minute; when it goes on for minutes, that is reported
    alarm_loop_minutes: int = 10
    alarm_retry_seconds: float = 2.0  # before the first retry; doubled before each, plus up to a quarter at random

    # history
    history_seconds: float = 30 * 86_400.0  # how far back objects can be led; 0: ten minutes, which backup needs
    history_bytes_max: int = 10 * 1024**3  # of archives per data directory; then the oldest give way, down to those ten

    # SQL; the names are those of SQLite's own limits where it has one
    sql_bytes_max: int = 100_000  # of a statement's text
    sql_variables_max: int = 100  # bound parameters
    sql_columns_max: int = 100  # of a table, an index, a result
    sql_value_bytes_max: int = 4 * 1024 * 1024  # of a string, a blob, a row; never below a stored value and its key
    sql_like_pattern_bytes_max: int = 50  # longer ones can take exponential time
    sql_expression_depth_max: int = 100
    sql_compound_terms_max: int = 5  # SELECTs joined by UNION and the like
    sql_function_arguments_max: int = 127
    sql_operations_max: int = 25_000  # of a compiled statement
    sql_trigger_depth_max: int = 10
    sql_seconds_max: float = 5.0  # of one statement, or of one step of its cursor; the loop stands still meanwhile
    sql_memory_bytes_max: int = 256 * 1024 * 1024  # that SQLite takes for one statement: sorting, temporary tables
    sql_result_bytes_max: int = 64 * 1024 * 1024  # of the rows that one call gives at once: to_array

    # gates and turns
    critical_section_seconds_max: float = 30.0
    critical_section_depth_max: int = 64
    output_gate_seconds_max: float = 30.0
    idle_seconds: float = 10.0  # without work, before an object hibernates
    construction_tries_max: int = 3  # that may fail, before the message that waits first closes its socket with 1011
    construction_retry_seconds: float = 0.25  # after the first that failed; doubled after each
    wait_until_seconds_max: float = 900.0
    pre_shutdown_seconds_max: float = 10.0  # then the object's memory goes all the same
    inbox_bytes_max: int = 16 * 1024 * 1024  # per object; beyond it the senders are not read
    inbox_events_max: int = 10_000  # per object; beyond it requests get OverloadedError
    host_memory_bytes_max: int = 0  # resident size above which the longest idle hibernate early; 0: 75 % of the machine

    # link
    link_unfinished_bytes_max: int = 16 * 1024 * 1024  # handed to one host and not yet finished, per gateway
    socket_unfinished_bytes_max: int = 256 * 1024  # the same, per socket: then its client is not read
    link_batch_bytes: int = 1024 * 1024  # a batch is closed above this size, so that the other end can begin
    link_frame_bytes_max: int = 64 * 1024 * 1024  # encoded: above a whole WebSocket message
    link_send_bytes: int = 4 * 1024 * 1024  # waiting to be written to a link, before it counts as not writable
    link_send_bytes_max: int = 256 * 1024 * 1024  # the same, before the link is dropped: the other end does not read
    body_window_bytes: int = 256 * 1024  # of a streamed body under way

    # gateway
    head_bytes_max: int = 64 * 1024
    url_bytes_max: int = 16 * 1024  # of a request's target
    client_buffer_bytes_max: int = 64 * 1024  # of one client, received ahead: pipelined requests, an upgrade under way
    body_bytes_max: int = 512 * 1024 * 1024
    head_seconds_max: float = 10.0
    body_idle_seconds_max: float = 30.0
    keep_alive_seconds: float = 75.0
    handshake_seconds_max: float = 30.0  # from the upgrade request to the object's answer
    response_seconds_max: float = 900.0  # from a request's end to the first byte of the answer
    socket_away_bytes_max: int = 16 * 1024  # of messages held per socket while its host is away; then it is not read
    socket_send_bytes_max: int = 4 * 1024 * 1024  # queued for a client that does not read; beyond it: 1013
    cork_seconds_max: float = 0.001  # a broadcast waits for others that their object is busy with; 0: never
    close_seconds_max: float = 10.0  # for the client's half of the closing handshake
    ping_seconds: float = 30.0  # of silence, before the gateway pings
    pong_seconds_max: float = 30.0  # for anything to come back; then 1006
    park_seconds: float = 2.0  # of a client's silence, before its socket gives its transport back; 0: never
    deflate_bytes_min: int = 1_024  # of a message that is compressed for clients that offer it; 0: none ever is
    deflate_window_bits: int = 12  # 9 to 15, of the window: 4 KiB; 32 KiB of memory where it is kept
    deflate_contexts_bytes_max: int = 0  # of windows that are kept between messages, per gateway; 0: none is
    inflated_bytes_max: int = 256 * 1024 * 1024  # of compressed messages that are not whole, per gateway; then 1013
    connections_max: int = 100_000  # per gateway

    # host
    entrypoint_requests_max: int = 20_000  # in the entrypoint at once, per host; beyond it OverloadedError
    peer_away_seconds_max: float = 1.0  # of a gateway whose link broke, before objects hear 1006 for its sockets
    roll_seconds_max: float = 2.0  # for the gateways to tell a new host which sockets they hold
    connect_seconds_max: float = 10.0  # of `fetch`, to a server on the network
    outgoing_connections_max: int = 1_000  # of `fetch`, per host; more requests wait
    blocked_seconds_max: float = 1.0  # of a loop that does not turn, before it is reported with its stack

    # processes
    child_silence_seconds_max: float = 30.0  # of a process that serves and does not answer; then it is killed; 0: never
    drain_seconds_max: float = 30.0
    host_wait_seconds_max: float = 10.0  # how long a request waits for a host that is being replaced; then 503


DEFAULTS = Limits()
