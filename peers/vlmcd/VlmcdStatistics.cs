namespace Archipelago.Vlmcd;

/// <summary>What vlmcd has done. Written by its reactor with plain stores, readable by any thread.</summary>
public sealed class VlmcdStatistics
{
    /// <summary>READ, WRITE, FLUSH, DISCARD and WRITE_ZEROES requests of volumes in use.</summary>
    public long Requests;
    /// <summary>Of these, those that lie on more than one object.</summary>
    public long Splits;
    /// <summary>Volumes in use.</summary>
    public long Loaded;
}
