using System.Globalization;
using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// One client instance of a RADOS cluster: create, configure, connect, then queues and pools, shutdown. An instance
/// that was fenced (blocklisted) or failed to connect is of no further use: shut it down and create another.
/// <para>
/// Threading: everything here blocks, or may (<see cref="Connect"/> and <see cref="OpenPool"/> wait for a monitor,
/// <see cref="Shutdown"/> for operations in flight): call it from one helper thread, not from a reactor. Failures
/// throw <see cref="RadosException"/>.
/// </para>
/// </summary>
public sealed unsafe partial class RadosCluster : IDisposable
{
    /// <summary>Left to blocking calls of helper threads, so that they never use up the reactors' share.</summary>
    private const int ReservedOperations = 64;

    private const long ReservedBytes = 4L << 20;

    private readonly List<CompletionQueue> _queues = [];
    private readonly List<RadosPool> _pools = [];
    private readonly string _entity;
    private nint _handle;
    private bool _connected;
    private long _operationsLeft;
    private long _bytesLeft;

    private RadosCluster(nint handle, string entity)
    {
        _handle = handle;
        _entity = entity;
    }

    /// <summary>Whether <see cref="Connect"/> succeeded and <see cref="Shutdown"/> was not called.</summary>
    public bool IsConnected => _connected;

    /// <summary>A client instance that is not connected yet; reads no file.</summary>
    /// <param name="clientId">The user, for example <c>admin</c> (for <c>client.admin</c>).</param>
    public static RadosCluster Create(string clientId)
    {
        if (string.IsNullOrWhiteSpace(clientId) || clientId.Contains('\0'))
            throw new RadosException(RadosErrno.EINVAL, "RADOS client id is empty or has a NUL in it",
                "give the user's name without 'client.', for example 'admin'");
        string entity = clientId.StartsWith("client.", StringComparison.Ordinal) ? clientId : "client." + clientId;
        nint handle;
        try
        {
            RadosException.Check(
                NativeControl.rados_create2(&handle, "ceph", entity, 0), $"creating a RADOS client as {entity}");
        }
        catch (DllNotFoundException)
        {
            throw new RadosException(RadosErrno.ENOENT, $"loading {Native.Library}", "apt-get install librados2");
        }
        return new RadosCluster(handle, entity);
    }

    /// <summary>Reads options, monitors' addresses and keyring's place from a <c>ceph.conf</c>. Before Connect.</summary>
    public void ReadConfigFile(string path)
    {
        CheckConfigurable();
        if (!File.Exists(path))
            throw new RadosException(RadosErrno.ENOENT, $"reading the Ceph configuration {path}", "no such file");
        RadosException.Check(NativeControl.rados_conf_read_file(_handle, path),
            $"reading the Ceph configuration {path}", "is it readable by this user, and INI?");
    }

    /// <summary>Sets one option of Ceph, by the name used in <c>ceph.conf</c>. Before Connect.</summary>
    public void SetOption(string option, string value)
    {
        CheckConfigurable();
        RadosException.Check(
            NativeControl.rados_conf_set(_handle, option, value), $"setting Ceph option {option} = '{value}'",
            "unknown option, or a value that it does not take");
    }

    /// <summary>The value of one option of Ceph as it is in force.</summary>
    public string GetOption(string option)
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        const int most = 4096;
        byte* buffer = stackalloc byte[most];
        RadosException.Check(NativeControl.rados_conf_get(_handle, option, buffer, most), $"reading Ceph option {option}");
        return Marshal.PtrToStringUTF8((nint)buffer) ?? "";
    }

    /// <summary>
    /// Connects; blocks until a monitor answers, at most <paramref name="limit"/> (whole seconds, at least one).
    /// Sets two things whatever the configuration says: operations have no time-out in librados (a write that timed
    /// out there could be applied later), and there is no admin socket, log file or print to stderr (several clients
    /// in one process would fight for them), unless <paramref name="keepDiagnostics"/>.
    /// </summary>
    public void Connect(TimeSpan limit, bool keepDiagnostics = false)
    {
        CheckConfigurable();
        int seconds = (int)Math.Clamp(Math.Ceiling(limit.TotalSeconds), 1, 86400);
        SetOption("client_mount_timeout", seconds.ToString(CultureInfo.InvariantCulture));
        SetOption("rados_osd_op_timeout", "0");
        if (!keepDiagnostics)
        {
            SetOption("admin_socket", "");
            SetOption("log_file", "");
            SetOption("err_to_stderr", "false");
            SetOption("log_to_stderr", "false");
        }
        int code = NativeControl.rados_connect(_handle);
        if (code < 0)
        {
            // A second attempt of the same handle is not reliable in librados.
            string hosts = GetOption("mon_host");
            Dispose();
            int errno = RadosErrno.FromReturn(code);
            throw new RadosException(errno, $"connecting to RADOS as {_entity}, monitors '{hosts}'", errno switch
            {
                RadosErrno.ETIMEDOUT => $"no monitor answered within {seconds} s: do they run, can they be reached?",
                RadosErrno.ENOENT => "no monitors (mon_host) or no keyring for this user in the configuration",
                1 or 13 => "the monitors refuse this user or its key: check 'ceph auth get' and the keyring",
                _ => "see the Ceph configuration",
            });
        }
        _connected = true;
        _operationsLeft = Limit("objecter_inflight_ops", int.MaxValue) - ReservedOperations;
        _bytesLeft = Limit("objecter_inflight_op_bytes", long.MaxValue / 2) - ReservedBytes;
    }

    /// <summary>
    /// A queue for one thread. The limits of all queues of an instance must together stay below librados' own
    /// (<c>objecter_inflight_ops</c>, 1,024 by default, less 64; <c>objecter_inflight_op_bytes</c>, 100 MiB, less 4),
    /// else ENOSPC is thrown: beyond them librados would block the submitting thread.
    /// </summary>
    /// <param name="maxOperations">Most operations in flight, at least 1; as many are preallocated.</param>
    /// <param name="maxBytes">Most payload bytes in flight, at least 1: the largest single operation too.</param>
    /// <param name="wake">Called on a librados thread when a result arrives while the consumer is parked.</param>
    public CompletionQueue CreateQueue(int maxOperations, long maxBytes, Action? wake)
    {
        CheckConnected();
        ArgumentOutOfRangeException.ThrowIfLessThan(maxOperations, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        const int enospc = 28;
        if (maxOperations > _operationsLeft || maxBytes > _bytesLeft)
            throw new RadosException(enospc,
                $"a queue of {maxOperations} operations and {maxBytes} bytes in flight: this RADOS client has " +
                $"{_operationsLeft} and {_bytesLeft} left",
                "ask for less, or raise objecter_inflight_ops and objecter_inflight_op_bytes in ceph.conf");
        _operationsLeft -= maxOperations;
        _bytesLeft -= maxBytes;
        var queue = new CompletionQueue(maxOperations, maxBytes, wake);
        _queues.Add(queue);
        return queue;
    }

    /// <summary>
    /// Waits for the callbacks of all operations in flight, for <paramref name="grace"/>, cancels what is left,
    /// closes all pools and disconnects. No other thread may use queues or pools meanwhile. Afterwards the queues
    /// refuse operations; their last results may still be taken, one for each operation.
    /// </summary>
    public void Shutdown(TimeSpan grace)
    {
        if (_handle == 0)
            return;
        foreach (CompletionQueue queue in _queues)
            queue.Settle(grace);
        foreach (RadosPool pool in _pools)
            pool.Destroy();
        NativeControl.rados_shutdown(_handle);
        _handle = 0;
        _connected = false;
        foreach (CompletionQueue queue in _queues)
            queue.Finish();
    }

    /// <summary><see cref="Shutdown"/> without grace: operations in flight are cancelled.</summary>
    public void Dispose() => Shutdown(TimeSpan.Zero);

    /// <summary>The option's value; 0 means without limit to Ceph.</summary>
    private long Limit(string option, long unlimited)
    {
        long value = long.Parse(GetOption(option), CultureInfo.InvariantCulture);
        return value == 0 ? unlimited : value;
    }

    private void CheckConfigurable()
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        if (_connected)
            throw new InvalidOperationException("this RADOS client is connected: configure before Connect");
    }

    private void CheckConnected()
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        if (!_connected)
            throw new InvalidOperationException("this RADOS client is not connected");
    }
}
