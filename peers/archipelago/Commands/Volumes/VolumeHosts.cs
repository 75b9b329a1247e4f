using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Daemon;
using Archipelago.Cli.Peers;
using Archipelago.Mapperd.Control;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Vlmcd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>The processes that know of volumes: mapperd what there is, vlmcd what is open, the gateways how it is reached.</summary>
internal static class VolumeHosts
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2), LongLimit = TimeSpan.FromHours(24), ReadLimit = TimeSpan.FromSeconds(45);

    internal static async Task<T> AskMapperdAsync<T>(Invocation invocation, Func<ControlClient, Task<T>> ask)
    {
        bool isAsked = false;
        try
        {
            return await Common.AskHostAsync(invocation, "mapperd", client =>
            {
                isAsked = true;
                return ask(client);
            }, ReadLimit);
        }
        catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT && isAsked)
        {
            throw new ErrnoException(e.Errno, $"mapperd is alive, and does not answer within {ReadLimit.TotalSeconds:0} s: its store does not answer it; see `archipelago status`", e);
        }
    }

    /// <summary>What changes a volume goes to vlmcd, which brings its I/O to rest.</summary>
    internal static Task<T> AskChangerAsync<T>(Invocation invocation, Func<ControlClient, Task<T>> ask, bool isLong = false) =>
        Common.AskHostAsync(invocation, "vlmcd", ask, isLong ? LongLimit : Limit);

    internal static Task<VolumeInfo> DescribeAsync(Invocation invocation, string name, CancellationToken cancel) =>
        AskMapperdAsync(invocation, c => c.GetAsync("/v1/volumes/" + name, MapperdJson.Default.VolumeInfo, cancel));

    internal static Task<VolumeState> ChangeAsync(Invocation invocation, string name, VolumeChange change, CancellationToken cancel, bool isLong = false) =>
        AskChangerAsync(invocation, c => c.PutAsync("/v1/volumes/" + name, change, VlmcdJson.Default.VolumeChange, VlmcdJson.Default.VolumeState, cancel), isLong);

    /// <summary>Reads a stream of mapperd to its end.</summary>
    internal static Task StreamAsync<TIn, TItem>(
        Invocation invocation, string path, TIn body, JsonTypeInfo<TIn> input, JsonTypeInfo<TItem> item, Action<TItem> each, CancellationToken cancel,
        int maxBodyBytes = ControlServer.MaxBodyBytes) =>
        AskMapperdAsync(invocation, async client =>
        {
            await foreach (var one in client.StreamAsync(path, body, input, item, cancel, maxBodyBytes)) each(one);
            return true;
        });

    internal static async Task<VlmcdStatus> OpenersAsync(Invocation invocation, CancellationToken cancel)
    {
        try
        {
            return await AskChangerAsync(invocation, c => c.GetAsync("/v1/vlmcd", VlmcdJson.Default.VlmcdStatus, cancel));
        }
        catch (ErrnoException)
        {
            // Without vlmcd nothing is open here.
            return new VlmcdStatus([]);
        }
    }

    /// <summary>Gateways may be processes of their own: all are asked how they name volumes.</summary>
    internal static async Task<IReadOnlyList<string>> UrisAsync(Invocation invocation)
    {
        var uris = new List<string>();
        // A socket that is named is that of mapperd or vlmcd; the gateway may be another process.
        foreach (string socket in Common.Sockets(invocation).Union(Common.StateOf(invocation).Announced().Select(p => p.Socket)))
        {
            using var client = new ControlClient(socket) { Timeout = Common.AnswerLimit };
            try
            {
                var report = await client.GetAsync("/v1/status", ControlJson.Default.StatusReport);
                foreach (var (_, section) in report.Sections)
                    if (section?["uris"] is JsonArray templates) uris.AddRange(templates.Select(t => t!.GetValue<string>()));
            }
            catch (ErrnoException)
            {
                // A process that died or hangs exports nothing.
            }
        }

        return [.. uris.Distinct()];
    }

    internal static IReadOnlyList<string> UrisOf(IReadOnlyList<string> templates, string name) =>
        [.. templates.Select(uri => uri.Replace(NbdKind.VolumePlaceholder, name, StringComparison.Ordinal))];

    internal static VolumeView View(VolumeInfo v, IReadOnlyList<string> uris, VlmcdStatus open) => new(
        v.Name, v.Size, v.ObjectSize, v.CreatedAt, open.Open.Where(o => o.Name == v.Name).Sum(o => o.Openers), v.State, v.Fault, v.Base,
        v.State == "deleting" ? [] : UrisOf(uris, v.Name))
    {
        Id = v.Id,
        Objects = v.Objects,
        Snapshots = v.Snapshots,
        Lock = v.Lock,
        Removal = v.Removal,
        Flattening = v.Flattening,
        OpenersByCommand = open.Open.Where(o => o.Name == v.Name).Sum(o => o.Own),
        Parent = v.Parent,
        // Lists do not read it, and a volume that was never open for writing has none.
        Epoch = v.Epoch == 0 ? null : v.Epoch,
    };
}
