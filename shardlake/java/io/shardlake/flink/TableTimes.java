package io.shardlake.flink;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Optional;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.formats.parquet.ParquetInputFile;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimestampLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import shaded.parquet.org.apache.thrift.TException;

/**
 * What a table's files say of its times. Those of older versions call them local times; a table never has files of both kinds,
 * as some readers take the times of one kind for those of a zone.
 */
class TableTimes {
    private TableTimes() {}

    /** Whether the next file's times are marked as instants: as those in the table are, and in a new table always. */
    static boolean areInstants(Path table) throws IOException {
        return inFirstFile(table.getFileSystem(), table).orElse(true);
    }

    private static Optional<Boolean> inFirstFile(FileSystem files, Path folder) throws IOException {
        FileStatus[] found;
        try {
            found = files.listStatus(folder);
        } catch (FileNotFoundException none) {
            return Optional.empty();
        }
        if (found == null) {
            return Optional.empty();
        }
        Arrays.sort(found, Comparator.comparing(one -> one.getPath().getName()));
        for (FileStatus one : found) {
            Optional<Boolean> instants = one.isDir()
                    ? inFirstFile(files, one.getPath())
                    : one.getPath().getName().contains(".parquet") ? inFile(files, one) : Optional.empty();
            if (instants.isPresent()) {
                return instants;
            }
        }
        return Optional.empty();
    }

    /** Of a file that is whole; one that is still being written, and shows up when its checkpoint is taken up, may be. */
    private static Optional<Boolean> inFile(FileSystem files, FileStatus file) throws IOException {
        MessageType schema;
        try (ParquetFileReader reader =
                ParquetFileReader.open(new ParquetInputFile(files.open(file.getPath()), file.getLen()))) {
            schema = reader.getFileMetaData().getSchema();
        } catch (RuntimeException notParquet) {
            return Optional.empty();
        } catch (IOException error) {
            if (error.getCause() instanceof TException) { // its footer is none; a server that fails is another matter
                return Optional.empty();
            }
            throw error;
        }
        return schema.getFields().stream()
                .filter(field -> field.getLogicalTypeAnnotation() instanceof TimestampLogicalTypeAnnotation)
                .map(field -> ((TimestampLogicalTypeAnnotation) field.getLogicalTypeAnnotation()).isAdjustedToUTC())
                .findFirst();
    }
}
