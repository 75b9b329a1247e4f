using System.Runtime.InteropServices;
using System.Text;

namespace Archipelago.Radosd.Librados;

/// <summary>Who this client is to the cluster, what the cluster has, and fencing. Everything blocks.</summary>
public sealed unsafe partial class RadosCluster
{
    /// <summary>The library's version, for logs.</summary>
    public static Version LibraryVersion
    {
        get
        {
            int major, minor, extra;
            NativeControl.rados_version(&major, &minor, &extra);
            return new Version(major, minor, extra);
        }
    }

    /// <summary>The cluster-wide unique number of this instance: <c>client.N</c> in lists of lockers.</summary>
    public ulong InstanceId
    {
        get
        {
            CheckConnected();
            return NativeControl.rados_get_instance_id(_handle);
        }
    }

    /// <summary>This instance's address, <c>ip:port/nonce</c> (several are separated by commas), as
    /// <see cref="Blocklist"/> wants it.</summary>
    public string Addresses
    {
        get
        {
            CheckConnected();
            byte* text = null;
            RadosException.Check(NativeControl.rados_getaddrs(_handle, &text), "reading this RADOS client's address");
            string addresses = Marshal.PtrToStringUTF8((nint)text) ?? "";
            NativeControl.rados_buffer_free(text);
            return addresses;
        }
    }

    /// <summary>The cluster's UUID.</summary>
    public string Fsid
    {
        get
        {
            CheckConnected();
            const int size = 64;
            byte* buffer = stackalloc byte[size];
            RadosException.Check(NativeControl.rados_cluster_fsid(_handle, buffer, size), "reading the cluster's fsid");
            return Marshal.PtrToStringUTF8((nint)buffer) ?? "";
        }
    }

    /// <summary>The pool's number, or null if there is no pool of that name.</summary>
    public long? FindPool(string pool)
    {
        CheckConnected();
        long id = NativeControl.rados_pool_lookup(_handle, pool);
        if (id == -RadosErrno.ENOENT)
            return null;
        RadosException.Check(id, $"looking up RADOS pool '{pool}'");
        return id;
    }

    /// <summary>
    /// Opens a pool, and a namespace in it (empty: the default one), for the thread of <paramref name="queue"/>.
    /// Throws ENOENT if there is no such pool. It is closed by <see cref="Shutdown"/>.
    /// </summary>
    public RadosPool OpenPool(string pool, CompletionQueue queue, string ns = "")
    {
        CheckConnected();
        if (!_queues.Contains(queue))
            throw new ArgumentException("a queue of another RADOS client", nameof(queue));
        if (ns.Contains('\0') || Encoding.UTF8.GetByteCount(ns) > NulTerminated.Longest)
            throw new RadosException(RadosErrno.EINVAL, $"namespace of RADOS pool '{pool}'",
                $"no NUL and at most {NulTerminated.Longest} bytes");
        long id = FindPool(pool) ?? throw new RadosException(RadosErrno.ENOENT, $"opening RADOS pool '{pool}'",
            "there is no such pool: create it ('ceph osd pool create') or correct the configuration");
        nint handle;
        RadosException.Check(NativeControl.rados_ioctx_create2(_handle, id, &handle), $"opening RADOS pool '{pool}'");
        NativeControl.rados_ioctx_set_namespace(handle, ns);
        var opened = new RadosPool(handle, queue, pool, ns);
        _pools.Add(opened);
        return opened;
    }

    /// <summary>
    /// Fences a client instance: its operations end with EBLOCKLISTED. Once this has returned, whatever this client
    /// reads or writes makes the OSD in charge learn of the fence first, so that no write of the fenced client to
    /// that object takes effect later. It may name this very instance.
    /// </summary>
    /// <param name="address">Of <see cref="RadosLocker.Address"/> or <see cref="Addresses"/>.</param>
    /// <param name="duration">How long, in whole seconds (at least one); null: the cluster's default of one hour.</param>
    public void Blocklist(string address, TimeSpan? duration = null)
    {
        CheckConnected();
        uint seconds = duration is { } d ? (uint)Math.Clamp(Math.Ceiling(d.TotalSeconds), 1, uint.MaxValue) : 0;
        RadosException.Check(NativeControl.rados_blocklist_add(_handle, address, seconds),
            $"blocklisting RADOS client {address}",
            "expected ip:port/nonce as lists of lockers show it; the user needs 'profile rbd' or 'allow *' at the monitors");
        // Our operations carry the epoch of our map: an OSD that is behind fetches the map with the fence first.
        RadosException.Check(NativeControl.rados_wait_for_latest_osdmap(_handle), "waiting for the OSD map");
    }
}
