using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Xseg.Recovery;
using Microsoft.Extensions.Logging;

namespace Archipelago.Radosd;

/// <summary>
/// Makes a client instance that may serve: connected, pool open, every former instance fenced, itself recorded. In this order: an
/// instance submits nothing before it is recorded, so one that is not recorded has nothing to fence. Blocks; for helper threads.
/// </summary>
internal sealed class Connector(RadosdOptions options, InstanceRecord? record, ILogger log, Action wake)
{
    /// <summary>A former instance that others have put on the blocklist; null for none.</summary>
    internal string? AlreadyFenced;

    /// <summary>Former instances that were blocklisted.</summary>
    internal long Fenced;

    /// <summary>
    /// Makes the session. <paramref name="left"/> is what a dead predecessor left in the port.
    /// </summary>
    /// <exception cref="RadosException">RADOS cannot be reached, or the pool is missing: trying again may help.</exception>
    /// <exception cref="ErrnoException">A former instance cannot be fenced, the configuration or the state file is unusable.</exception>
    internal RadosSession Open(RecoveryReport left)
    {
        if (!File.Exists(options.CephConf))
            throw new ErrnoException(Errno.ENOENT, $"{options.CephConf}: no such file; name the Ceph configuration (ceph-conf)");
        var cluster = RadosCluster.Create(options.Client);
        try
        {
            cluster.ReadConfigFile(options.CephConf);
            cluster.Connect(options.ConnectTimeout);
            var queue = cluster.CreateQueue(options.MaxOperations, options.MaxBytes, wake);
            var objects = cluster.OpenPool(options.Pool, queue, options.Namespace);
            string address = cluster.Addresses;
            FenceFormer(cluster, left);
            record?.Write(new Instance(cluster.Fsid, address));
            return new RadosSession(cluster, queue, objects, address);
        }
        catch
        {
            cluster.Dispose();
            throw;
        }
    }

    private void FenceFormer(RadosCluster cluster, RecoveryReport left)
    {
        Instance? former = null;
        try
        {
            former = record?.Read();
        }
        catch (ErrnoException e) when (options.AllowUnfenced)
        {
            log.LogWarning("{Error}; allow-unfenced: going on without a fence", e.Message);
        }

        if (former == null)
        {
            // With a record that was never written the predecessor died before it served; but what it had accepted says that it did.
            int accepted = left.Replays.Count + left.Orphans + left.Kept.Count;
            if (accepted > 0)
                Unfenced(Errno.EPERM, $"a dead radosd had accepted {accepted} requests, and {(record == null ? "no state file is configured" : $"the state file {options.State} is gone")}: "
                    + "its RADOS client instance cannot be fenced");
            return;
        }

        if (former.Fsid != cluster.Fsid)
        {
            Unfenced(Errno.EPERM, $"the former radosd used the cluster {former.Fsid}, {options.CephConf} leads to {cluster.Fsid}: correct it, or remove {options.State} if that data is to be left behind");
            return;
        }

        foreach (string address in former.Address.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            try
            {
                cluster.Blocklist(address, options.FenceTime);
                Fenced++;
                log.LogInformation("former RADOS client instance {Address} fenced: no write of it takes effect any more", address);
            }
            catch (RadosException) when (former.Address == AlreadyFenced)
            {
                log.LogInformation("former RADOS client instance {Address} is fenced by others", address);
            }
            catch (RadosException e) when (e.Errno is Errno.EPERM or Errno.EACCES or Errno.EINVAL)
            {
                Unfenced(e.Errno, $"the dead radosd's RADOS client instance {address} cannot be fenced: {e.Message}. Grant it with "
                    + $"'ceph auth caps client.{options.Client} mon \"profile rbd\" osd ...', or blocklist it by hand and remove {options.State}");
            }
        }
    }

    private void Unfenced(int errno, string what)
    {
        if (!options.AllowUnfenced)
            throw new ErrnoException(errno, what + ". A write of it that is still queued at an OSD could overwrite newer data, so nothing is served (allow-unfenced = yes serves all the same)");
        log.LogWarning("{What}; allow-unfenced: going on without a fence", what);
    }
}
