namespace Archipelago.Mapperd.Purging;

/// <summary>Numbers below 2^24, a bit each as far as there are any.</summary>
internal sealed class IndexSet
{
    private ulong[] _words = [];

    internal bool this[ulong index] => index >> 6 < (ulong)_words.Length && (_words[index >> 6] >> (int)(index & 63) & 1) != 0;

    internal void Add(ulong index)
    {
        if (index >> 6 >= (ulong)_words.Length) Array.Resize(ref _words, (int)Math.Max((index >> 6) + 1, (ulong)_words.Length * 2));
        _words[index >> 6] |= 1ul << (int)(index & 63);
    }

    internal void AddRange(ulong from, ulong to)
    {
        for (ulong index = from; index < to; index++) Add(index);
    }

    /// <summary>What is here and not in <paramref name="others"/>.</summary>
    internal IEnumerable<ulong> Except(IndexSet? others)
    {
        for (int word = 0; word < _words.Length; word++)
        {
            ulong left = _words[word] & ~(others != null && word < others._words.Length ? others._words[word] : 0);
            for (; left != 0; left &= left - 1) yield return ((ulong)word << 6) + (ulong)System.Numerics.BitOperations.TrailingZeroCount(left);
        }
    }
}
