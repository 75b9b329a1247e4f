using System.Text;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Xseg.Memory;

/// <summary>What a peer says about where its data belongs.</summary>
/// <param name="Route">Route that leads to a blocker; for a cache the empty text.</param>
/// <param name="Store">What the blocker serves, such as "filed /srv/objects"; for a cache the route to its blocker.</param>
public readonly record struct StoreClaim(string Route, string Store);

/// <summary>
/// The file <c>store</c> beside the segment: which store its pages belong to, written when a blocker is first started on the segment.
/// While it holds cached pages nobody may serve another one in that place: dirty pages would be written into it, stable ones be
/// read as its content. Lines "route TAB store"; the first one is the segment's creation id.
/// </summary>
public static unsafe class StoreRecord
{
    internal const string FileName = "store";

    /// <summary>Writes down what a process is about to serve, before it binds anything.</summary>
    /// <exception cref="XsegException">EBUSY: the segment has pages of another store, or somebody serves another one there.</exception>
    public static void Claim(Segment segment, IReadOnlyCollection<StoreClaim> claims)
    {
        if (claims.Count == 0) return;
        lock (segment.MaintenanceGate)
        {
            using var maintenance = segment.Locks.Maintain();
            // Destroyed since it was joined: binding says so.
            if (segment.Header->State != (uint)SegmentState.Ready) return;
            var record = Read(segment);
            bool changed = false;
            foreach (var claim in claims)
            {
                if (record.TryGetValue(claim.Route, out string? store))
                {
                    if (store == claim.Store) continue;
                    RefuseForeign(segment, claim, store);
                }

                (record[claim.Route], changed) = (claim.Store, true);
            }

            if (changed) Write(segment, record);
        }
    }

    private static Dictionary<string, string> Read(Segment segment)
    {
        var record = new Dictionary<string, string>(StringComparer.Ordinal);
        string path = Path.Combine(segment.DirectoryPath, FileName);
        if (!File.Exists(path)) return record;
        string[] lines = File.ReadAllLines(path, Encoding.UTF8);
        // Another segment's, or garbage: it says nothing about these pages.
        if (lines.Length == 0 || lines[0] != Identity(segment)) return record;
        foreach (string line in lines.AsSpan(1))
            if (line.IndexOf('\t') is >= 0 and var tab) record[line[..tab]] = line[(tab + 1)..];
        return record;
    }

    private static void Write(Segment segment, Dictionary<string, string> record)
    {
        string path = Path.Combine(segment.DirectoryPath, FileName);
        File.WriteAllLines(path + ".new", [Identity(segment), .. record.OrderBy(line => line.Key, StringComparer.Ordinal).Select(line => $"{line.Key}\t{line.Value}")]);
        File.Move(path + ".new", path, overwrite: true);
    }

    private static void RefuseForeign(Segment segment, StoreClaim claim, string store)
    {
        string was = claim.Route.Length == 0 ? $"the cache used {store}, not {claim.Store}" : $"route '{claim.Route}' led to '{store}', not to '{claim.Store}'";
        if (claim.Route.Length > 0 && RouteTable.TryFind(segment, Encoding.UTF8.GetBytes(claim.Route), out int port, out _) && PortTable.IsAlive(segment, port))
            throw new XsegException(XsegErrno.EBUSY, $"{segment.DirectoryPath}: {was}, and process {segment.PortAt(port)->ProcessId} still serves it; stop that one first (`archipelago down`)");
        long cached = 0;
        for (uint page = 1; page < segment.PageCount; page++)
            if (new PageWord(Volatile.Read(ref segment.PageAt(page)->Word)).State == PageState.Cache) cached++;
        if (cached == 0) return;
        throw new XsegException(XsegErrno.EBUSY,
            $"{segment.DirectoryPath}: the segment of a former run holds {cached} cached pages of another store, {segment.DirtyPages()} of them dirty: {was}. Nothing was started. "
            + "Start it with the former configuration and end it with `archipelago down`; or give the pages up by name: "
            + $"`archipelago segment destroy --segment {segment.DirectoryPath}`, with --discard-dirty if some are dirty, whose data is LOST then");
    }

    private static string Identity(Segment segment) => segment.CreationId.ToString("x32");
}
